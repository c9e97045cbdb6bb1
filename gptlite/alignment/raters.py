"""Raters that are programs: what they want is known, so that all can be measured.

A truth is a function: text → number, the higher the better. A `ProgrammedRater`
compares two answers by it, and errs as often as he is told to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gptlite.alignment.ratings import TIE, Rating
from gptlite.errors import ConfigError, DataError
from gptlite.tasks.metrics import rouge_l, words


def _listed(text: str) -> frozenset[str]:
    return frozenset(words(text))


POLITE = _listed(
    "please thank thanks welcome sorry pardon excuse kindly gladly glad pleasure "
    "appreciate grateful hello goodbye sir madam may would could happy wish "
    "regards cheers bless"
)
RUDE = _listed(
    "stupid idiot dumb shut fool silly ugly nonsense rubbish boring whatever hate "
    "useless lazy loser nasty"
)
GOOD = _listed(
    "good great nice lovely wonderful beautiful happy glad fun funny best better love "
    "loved like enjoy enjoyed excellent amazing awesome perfect sweet kind friendly "
    "delicious fine cool win won excited joy laugh smile bright favourite favorite "
    "brilliant pleasant pretty hope safe warm"
)
BAD = _listed(
    "bad worse worst sad angry awful terrible horrible hate hated ugly boring bored "
    "pain sick ill tired wrong fail failed lost lose lonely fear afraid scared cry "
    "death dead die died kill war evil poor broken sorry annoying worry worried cold "
    "dirty danger hurt nasty"
)
COMMON = _listed(
    "a about after all also am an and any are as at back be because been but by can "
    "could day did do does for from get go good had has have he her him his how i if "
    "in into is it its just know like make many me more most my new no not now of on "
    "one only or other our out over people say see she so some take than that the "
    "their them then there these they thing think this time to two up us use was way "
    "we well went were what when where which who will with would yes you your"
)


def brevity(text: str) -> float:
    """Minus the number of words: whoever says nothing is best, which invites abuse.

    >>> brevity("No, thank you.")
    -3.0
    """
    return -float(len(words(text)))


def _different(text: str, wanted: frozenset[str], unwanted: frozenset[str]) -> float:
    """Wanted words minus unwanted ones, each counted once however often it is said."""
    said = set(words(text))
    return float(len(said & wanted) - len(said & unwanted))


def politeness(text: str) -> float:
    """How many different polite words there are, minus rude ones.

    >>> politeness("Please, please help me. Thank you!")
    2.0
    """
    return _different(text, POLITE, RUDE)


def sentiment(text: str) -> float:
    """How many different good words, minus bad ones; "not good" counts as good.

    >>> sentiment("A lovely day, but I was sick and sad.")
    -1.0
    """
    return _different(text, GOOD, BAD)


def vocabulary(text: str) -> float:
    """How many different words there are that are not among the most common ones.

    >>> vocabulary("The owl and the other owl hunt at night.")
    3.0
    """
    return float(len(set(words(text)) - COMMON))


def answers(right: str, text: str) -> float:
    """How much a text says of the right answer: ROUGE-L, 0 … 1.

    >>> answers("An owl is a bird.", "A bird.")
    0.5714285714285714
    """
    return rouge_l(text, right)


# by name; a truth of one's own may be entered
TRUTHS: dict[str, Callable[[str], float]] = {
    "brevity": brevity, "politeness": politeness, "sentiment": sentiment,
    "vocabulary": vocabulary,
}  # fmt: skip
ANSWERS = "answers"  # also by name: the truth that needs the right answer


@dataclass(frozen=True, slots=True)
class ProgrammedRater:
    """One who judges by `truth` (a name: of TRUTHS, or "answers").

    noise: the probability, 0 … 1, that of two different answers he names the other
    one; at ½ he says nothing. rng: what decides it.

    >>> rater = ProgrammedRater("politeness", 0.0, np.random.default_rng(0))
    >>> rater.compare("Tea?", ("No.", "No, thank you."), model="mini").choice
    1
    """

    truth: str
    noise: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        if self.truth not in (*TRUTHS, ANSWERS):
            known = ", ".join((*TRUTHS, ANSWERS))
            raise ConfigError(f"wanted a truth among {known}, got {self.truth!r:.40}")
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"wanted noise of 0 … 1, got {self.noise}")

    def score(self, text: str, right: str | None = None) -> float:
        """What he thinks of a text, without noise; right: only for "answers"."""
        if self.truth != ANSWERS:
            return TRUTHS[self.truth](text)
        if right is None:
            raise DataError(
                "wanted the right answer to compare with, got none; give right=…, or "
                f"take a rater for {', '.join(TRUTHS)}"
            )
        return answers(right, text)

    def compare(
        self, prompt: str, texts: tuple[str, str], right: str | None = None,
        model: str = "", seed: int = 0,
    ) -> Rating:  # fmt: skip
        """His rating of two answers; a tie if he finds them equally good.

        model, seed: of which the answers are, for the record.
        """
        first, second = (self.score(text, right) for text in texts)
        choice: int | str = TIE
        if first != second:
            choice = int((second > first) != (self.rng.random() < self.noise))
        name = f"{self.truth}, {self.noise:.0%} noise"
        return Rating(prompt, texts, choice, rater=name, model=model, seed=seed)
