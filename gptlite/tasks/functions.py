"""The little functions of the task `code`: names, expression, and what they return.

An entry is two lines: names, a colon, the expression; then phrases for the docstring.
{x} and {y} stand for parameters, {k} for a number. No two of a table are the same.
"""

from __future__ import annotations

from typing import NamedTuple

NUMBER = """
double times_two: {x} * 2
    twice {x}; {x} times two; the double of {x}
add_{k} plus_{k}: {x} + {k}
    {x} plus {k}; the sum of {x} and {k}; {k} more than {x}
subtract_{k} minus_{k}: {x} - {k}
    {x} minus {k}; {x} less {k}; {k} less than {x}
times_{k} multiply_by_{k}: {x} * {k}
    {x} times {k}; {x} multiplied by {k}; the product of {x} and {k}
divide_by_{k} over_{k}: {x} / {k}
    {x} divided by {k}; {x} over {k}; the quotient of {x} and {k}
remainder_{k} modulo_{k}: {x} % {k}
    the remainder of {x} by {k}; {x} modulo {k}; what {x} leaves when divided by {k}
square squared: {x} ** 2
    the square of {x}; {x} squared; {x} times itself
cube cubed: {x} ** 3
    the cube of {x}; {x} cubed; {x} to the third power
negate negative: -{x}
    the negative of {x}; minus {x}; {x} with the other sign
absolute magnitude: abs({x})
    the absolute value of {x}; {x} without its sign; the size of {x}
half halve: {x} / 2
    half of {x}; one half of {x}; {x} divided by two
next_number increment: {x} + 1
    the number after {x}; {x} plus one; the next number after {x}
previous_number decrement: {x} - 1
    the number before {x}; {x} minus one; the last number before {x}
is_even even: {x} % 2 == 0
    True if {x} is even; whether {x} is even; True for an even {x}
is_odd odd: {x} % 2 == 1
    True if {x} is odd; whether {x} is odd; True for an odd {x}
is_positive positive: {x} > 0
    True if {x} is positive; whether {x} is positive; True for {x} over zero
is_negative below_zero: {x} < 0
    True if {x} is negative; whether {x} is negative; True for {x} under zero
is_zero zero: {x} == 0
    True if {x} is zero; whether {x} is zero; True if {x} equals zero
above_{k} more_than_{k}: {x} > {k}
    True if {x} is more than {k}; whether {x} is above {k}; True for {x} over {k}
below_{k} less_than_{k}: {x} < {k}
    True if {x} is less than {k}; whether {x} is below {k}; True for {x} under {k}
is_{k} equals_{k}: {x} == {k}
    True if {x} is {k}; whether {x} is {k}; True if {x} equals {k}
divisible_by_{k} multiple_of_{k}: {x} % {k} == 0
    True if {k} divides {x}; whether {k} divides {x}; True for a multiple of {k}
last_digit ones_digit: abs({x}) % 10
    the last digit of {x}; the ones digit of {x}; the final digit of {x}
digits to_text: str({x})
    {x} as a text; the text of {x}; {x} turned into a text
at_least_{k} floor_{k}: max({x}, {k})
    {x}, but at least {k}; the larger of {x} and {k}; {x} or {k}, the larger
at_most_{k} cap_{k}: min({x}, {k})
    {x}, but at most {k}; the smaller of {x} and {k}; {x} or {k}, the smaller
"""

NUMBERS = """
add total: {x} + {y}
    the sum of {x} and {y}; {x} plus {y}; {x} and {y} added together
subtract difference: {x} - {y}
    the difference of {x} and {y}; {x} minus {y}; {x} less {y}
multiply product: {x} * {y}
    the product of {x} and {y}; {x} times {y}; {x} multiplied by {y}
divide quotient: {x} / {y}
    the quotient of {x} and {y}; {x} divided by {y}; {x} over {y}
remainder modulo: {x} % {y}
    the remainder of {x} by {y}; {x} modulo {y}; what {x} leaves when divided by {y}
whole_quotient whole_part: {x} // {y}
    how often {y} goes into {x}; {x} divided by {y}, rounded down; {x} by {y}, whole
larger maximum: max({x}, {y})
    the larger of {x} and {y}; the maximum of {x} and {y}; {x} or {y}, the larger
smaller minimum: min({x}, {y})
    the smaller of {x} and {y}; the minimum of {x} and {y}; {x} or {y}, the smaller
mean average: ({x} + {y}) / 2
    the mean of {x} and {y}; the average of {x} and {y}; the middle between {x} and {y}
distance gap: abs({x} - {y})
    the distance between {x} and {y}; how far {x} is from {y}; the gap from {x} to {y}
same equal: {x} == {y}
    True if {x} equals {y}; whether {x} equals {y}; True for equal {x} and {y}
different unequal: {x} != {y}
    True if {x} differs from {y}; whether {x} and {y} differ; True unless {x} is {y}
is_larger above: {x} > {y}
    True if {x} is more than {y}; whether {x} is above {y}; True for {x} over {y}
is_smaller below: {x} < {y}
    True if {x} is less than {y}; whether {x} is below {y}; True for {x} under {y}
is_multiple divisible: {x} % {y} == 0
    True if {y} divides {x}; whether {y} divides {x}; True for a multiple of {y}
"""

TEXT = """
shout upper: {x}.upper()
    {x} in upper case; {x} in capital letters; {x} with all letters large
whisper lower: {x}.lower()
    {x} in lower case; {x} in small letters; {x} with all letters small
reverse backwards: {x}[::-1]
    {x} reversed; {x} backwards; {x} from end to start
length size: len({x})
    the length of {x}; how many characters {x} has; how long {x} is
first_letter first: {x}[0]
    the first letter of {x}; the first character of {x}; what {x} starts with
last_letter last: {x}[-1]
    the last letter of {x}; the last character of {x}; what {x} ends with
first_{k} start_{k}: {x}[:{k}]
    the first {k} letters of {x}; {k} letters from the start of {x}; {k} first of {x}
last_{k} end_{k}: {x}[-{k}:]
    the last {k} letters of {x}; {k} letters from the end of {x}; the {k} last of {x}
drop_{k} skip_{k}: {x}[{k}:]
    {x} without its first {k} letters; all but {k} letters of {x}; {x} after {k} letters
trim clean: {x}.strip()
    {x} without blanks at the ends; {x} stripped; {x} with outer blanks removed
title titled: {x}.title()
    {x} in title case; {x} with every word capitalized; {x} as a title
capital capitalize: {x}.capitalize()
    {x} capitalized; {x} with a capital first letter; {x} with one capital in front
swap_case swap: {x}.swapcase()
    {x} with its case swapped; {x} in the other case; {x} with large and small swapped
repeat_{k} copies_{k}: {x} * {k}
    {x} repeated {k} times; {k} copies of {x}; {x} written {k} times
exclaim excited: {x} + '!'
    {x} with '!' at the end; {x} followed by '!'; {x} and then '!'
ask question: {x} + '?'
    {x} with '?' at the end; {x} followed by '?'; {x} and then '?'
greet hello: 'Hello, ' + {x}
    'Hello, ' and then {x}; {x} after 'Hello, '; {x} with 'Hello, ' in front
words split: {x}.split()
    the words of {x}; {x} split into words; a list of the words in {x}
word_count count_words: len({x}.split())
    the number of words in {x}; how many words {x} has; the word count of {x}
letters characters: list({x})
    the letters of {x} as a list; {x} as a list of letters; a list of {x} by letters
no_blanks squeeze: {x}.replace(' ', '')
    {x} without blanks; {x} with all blanks removed; {x} without any blank in it
hyphens dashes: {x}.replace(' ', '-')
    {x} with '-' for each blank; {x} with blanks turned to '-'; '-' for blanks in {x}
count_a number_of_a: {x}.count('a')
    the number of 'a' in {x}; how often 'a' is in {x}; the count of 'a' in {x}
has_a contains_a: 'a' in {x}
    True if 'a' is in {x}; whether {x} contains 'a'; True if {x} has an 'a'
is_upper all_upper: {x}.isupper()
    True if {x} is in upper case; whether {x} is all capitals; True for {x} in capitals
is_number all_digits: {x}.isdigit()
    True if {x} has only digits; whether {x} is all digits; True for {x} in digits
is_palindrome palindrome: {x} == {x}[::-1]
    True if {x} is a palindrome; whether {x} is a palindrome; True if {x} is its mirror
middle inner: {x}[1:-1]
    {x} without both its ends; the inner letters of {x}; all but the ends of {x}
"""

LIST = """
total add_all: sum({x})
    the sum of {x}; the total of {x}; all of {x} added together
largest biggest: max({x})
    the largest of {x}; the maximum of {x}; the biggest number in {x}
smallest least: min({x})
    the smallest of {x}; the minimum of {x}; the least number in {x}
count how_many: len({x})
    the length of {x}; how many numbers {x} has; the number of items in {x}
mean average: sum({x}) / len({x})
    the mean of {x}; the average of {x}; the sum of {x} over its length
spread span: max({x}) - min({x})
    the spread of {x}; largest minus smallest of {x}; how far {x} spreads
sort ordered: sorted({x})
    {x} sorted; {x} in order; {x} from smallest to largest
sort_down descending: sorted({x}, reverse=True)
    {x} sorted downwards; {x} in falling order; {x} from largest to smallest
reverse backwards: {x}[::-1]
    {x} reversed; {x} backwards; {x} from end to start
first first_item: {x}[0]
    the first of {x}; the first item of {x}; what {x} starts with
last last_item: {x}[-1]
    the last of {x}; the last item of {x}; what {x} ends with
first_{k} start_{k}: {x}[:{k}]
    the first {k} of {x}; the first {k} items of {x}; {k} from the start of {x}
last_{k} end_{k}: {x}[-{k}:]
    the last {k} of {x}; the last {k} items of {x}; {k} from the end of {x}
drop_{k} skip_{k}: {x}[{k}:]
    {x} without its first {k}; all but {k} of {x}; {x} after the first {k} items
unique different: sorted(set({x}))
    the different numbers of {x}, sorted; {x} sorted without repeats; each of {x} once
count_unique number_of_different: len(set({x}))
    how many different numbers {x} has; the count of unique numbers in {x}
double_all twice_all: [v * 2 for v in {x}]
    every number of {x} doubled; {x} with each doubled; twice each number of {x}
square_all squares: [v ** 2 for v in {x}]
    every number of {x} squared; {x} with each squared; the squares of {x}
add_{k}_to_all raise_{k}: [v + {k} for v in {x}]
    every number of {x} plus {k}; {x} with {k} added to each; {k} more than each of {x}
evens even_numbers: [v for v in {x} if v % 2 == 0]
    the even numbers of {x}; only the even ones in {x}; all of {x} that are even
odds odd_numbers: [v for v in {x} if v % 2 == 1]
    the odd numbers of {x}; only the odd ones in {x}; all of {x} that are odd
positives positive_numbers: [v for v in {x} if v > 0]
    the positive numbers of {x}; only the positive ones in {x}; all of {x} above zero
above_{k} larger_than_{k}: [v for v in {x} if v > {k}]
    the numbers of {x} above {k}; all of {x} larger than {k}; what {x} has above {k}
count_{k} times_{k}: {x}.count({k})
    how often {k} is in {x}; how many times {k} is in {x}; the count of {k} in {x}
has_{k} contains_{k}: {k} in {x}
    True if {k} is in {x}; whether {x} contains {k}; True if {x} has a {k}
is_sorted in_order: {x} == sorted({x})
    True if {x} is sorted; whether {x} is in order; True for a sorted {x}
"""

# a parameter's name tells what it holds, as it does for a person
PARAMETERS = {
    "number": ("x", "n", "a", "value", "number"),
    "second": ("y", "m", "b", "other", "step"),  # never 0: it may be divided by
    "text": ("s", "text", "word", "line", "name"),
    "list": ("items", "values", "numbers", "data", "xs"),
}  # fmt: skip
PARAMETERS["numbers"] = PARAMETERS["number"]
# {k}: from this number, and below that one
CONSTANTS = {"number": (3, 21), "numbers": (3, 21), "text": (2, 5), "list": (2, 5)}


class Function(NamedTuple):
    """kind: what its first parameter is; "numbers" has a second one, a number too."""

    kind: str
    names: list[str]
    expression: str
    phrases: list[str]


def entries(kind: str, table: str) -> list[Function]:
    """The functions of one of the tables above.

    >>> entries("number", "double: {x} * 2\\n    twice {x}; {x} times two")[0].phrases
    ['twice {x}', '{x} times two']
    """
    lines, found = table.strip().splitlines(), []
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        names, expression = first.split(": ", 1)
        phrases = second.strip().split("; ")
        found.append(Function(kind, names.split(), expression, phrases))
    return found


TABLES = {"number": NUMBER, "numbers": NUMBERS, "text": TEXT, "list": LIST}
FUNCTIONS = [f for kind, table in TABLES.items() for f in entries(kind, table)]
