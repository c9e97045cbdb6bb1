"""Generation: the cache changes nothing, settings do what they say, text is whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gptlite.models.generate
from gptlite.config import GPTConfig
from gptlite.errors import ConfigError, DataError
from gptlite.models.generate import (
    Completion,
    Decoder,
    TextStream,
    decoder_of,
    generate,
    stream,
)
from gptlite.models.gpt import GPT
from gptlite.models.sampling import (
    Sampling,
    log_softmax,
    penalise_repetition,
    restrict,
    sample,
)
from gptlite.text.tokenizer import ByteTokenizer, CharTokenizer
from tests.helpers import TINY, assert_near

CHARS = CharTokenizer("abcdefghijk")
BYTES = GPTConfig(n_layer=1, n_head=2, n_embd=16, context_length=12, vocab_size=256)
GREEDY = Sampling(temperature=0)


def model_of(config: GPTConfig = TINY, seed: int = 0) -> GPT:
    """Weights far from the start: the next token depends on all before it."""
    model = GPT(config, rng=np.random.default_rng(seed))
    model.params.flat[: model.decay_end] *= 12
    return model


def dice(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def last_logits(model: GPT, tokens: list[int]) -> np.ndarray:
    return model.logits(np.array([tokens]))[0, -1]


# --- the KV cache -----------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_decoding_with_the_cache_equals_without(bias: bool) -> None:
    model = model_of(dataclasses.replace(TINY, bias=bias))
    decoder = decoder_of(model, CHARS, ["ab"])
    tokens = [0, 1]
    for new in (5, 3, 3, 10, 0, 7, 2, 9, 1, 4):
        assert_near(decoder.logits[0], last_logits(model, tokens), 1e-4)
        decoder.append(np.array([new]))
        tokens.append(new)
    assert len(tokens) == TINY.context_length
    assert_near(decoder.logits[0], last_logits(model, tokens), 1e-4)


@pytest.mark.parametrize("ahead", [1, 32])
def test_rows_of_different_lengths_do_not_see_one_another(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the cache grows."""
    monkeypatch.setattr(gptlite.models.generate, "AHEAD", ahead)
    model = model_of()
    prompts = ["a", "bcdef", "khg"]
    decoder = decoder_of(model, CHARS, prompts)
    rows = [CHARS.encode(p).tolist() for p in prompts]
    new = np.random.default_rng(1).integers(0, 11, (7, 3))
    for ids in [*new, None]:
        for b, row in enumerate(rows):
            assert_near(decoder.logits[b], last_logits(model, row), 1e-4)
        if ids is not None:
            decoder.append(ids)
            for b, row in enumerate(rows):
                row.append(int(ids[b]))


def test_rows_that_are_kept_do_not_notice_that_others_left() -> None:
    model = model_of()
    both = [Decoder(model, 11, [[1, 2, 3], [4], [5, 6], [7, 8, 9]]) for _ in range(2)]
    for decoder in both:
        decoder.append(np.array([1, 2, 3, 4]))
    both[0].keep(np.array([3, 1]))
    for ids in ([5, 6], [7, 8]):
        both[0].append(np.array(ids))
        both[1].append(np.array([0, ids[1], 0, ids[0]]))
        assert both[0].rows == [both[1].rows[3], both[1].rows[1]]
        assert_near(both[0].logits, both[1].logits[[3, 1]])
        assert (both[0].seen == both[1].seen[[3, 1]]).all()


def test_beyond_the_context_the_newest_half_goes_on() -> None:
    model, T = model_of(), TINY.context_length
    decoder = decoder_of(model, CHARS, ["a"])
    tokens, context = [0], [0]
    for new in np.random.default_rng(2).integers(0, 11, 3 * T).tolist():
        decoder.append(np.array([new]))
        tokens.append(new)
        context = [*context, new] if len(context) < T else tokens[-(T // 2) :]
        assert_near(decoder.logits[0], last_logits(model, context), 1e-4)
    assert decoder.rows == [tokens]


def test_of_a_prompt_longer_than_the_context_the_newest_tokens_count() -> None:
    model = model_of()
    long = decoder_of(model, CHARS, ["kkkkkkk" + "abcdefghijka"])
    assert_near(long.logits, decoder_of(model, CHARS, ["abcdefghijka"]).logits, 1e-6)


@pytest.mark.parametrize("context_length", [1, 2, 3])
def test_even_the_shortest_context_generates(context_length: int) -> None:
    model = model_of(dataclasses.replace(TINY, context_length=context_length))
    done = generate(model, CHARS, ["abcd"], 9, rng=dice())[0]
    assert len(done.ids) == 9


def test_a_batch_generates_what_each_prompt_does_alone() -> None:
    model, prompts = model_of(), ["a", "bcd", "kji"]
    together = generate(model, CHARS, prompts, 8, GREEDY, rng=dice())
    for prompt, done in zip(prompts, together, strict=True):
        assert (
            done.ids == generate(model, CHARS, [prompt], 8, GREEDY, rng=dice())[0].ids
        )


def test_model_and_prompts_are_left_as_they_were() -> None:
    model = model_of()
    before = model.params.flat.copy()
    generate(model, CHARS, ["ab", "c"], 20, rng=dice())
    assert np.array_equal(model.params.flat, before)


# --- which token -------------------------------------------------------------------


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    model = model_of()
    a, b, c = (generate(model, CHARS, ["ab"], 30, rng=dice(s))[0] for s in (1, 1, 2))
    assert a == b
    assert a.ids != c.ids


def test_temperature_zero_takes_the_most_probable() -> None:
    model = model_of()
    done = generate(model, CHARS, ["ab"], 10, GREEDY, rng=dice())[0]
    tokens = [0, 1]
    for token in done.ids:
        assert token == last_logits(model, tokens).argmax()
        tokens.append(token)
    again = generate(model, CHARS, ["ab"], 10, Sampling(top_k=1), rng=dice(9))[0]
    assert again.ids == done.ids


def test_a_tiny_temperature_neither_overflows_nor_differs_from_zero() -> None:
    logits = np.array([[3.0, 80.0, -80.0]], np.float32)
    seen = np.zeros((1, 3), bool)
    for temperature in (1e-3, 1e-30, 1e-300):
        ids, logprobs = sample(logits, seen, Sampling(temperature), rng=dice())
        assert ids.tolist() == [1] and np.isfinite(logprobs).all()


P = np.array([[0.1, 0.4, 0.2, 0.25, 0.05]])


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), [0, 1, 2, 3, 4]),
        (Sampling(top_k=2), [1, 3]),
        (Sampling(top_k=99), [0, 1, 2, 3, 4]),
        (Sampling(top_p=0.6), [1, 3]),  # 0.4 + 0.25 reach 0.6, 0.4 does not
        (Sampling(top_p=1e-9), [1]),
        (Sampling(top_p=0.9), [0, 1, 2, 3]),
        (Sampling(min_p=0.5), [1, 2, 3]),  # at least 0.2
        (Sampling(min_p=1.0), [1]),
        (Sampling(top_k=3, top_p=0.7), [1, 3]),  # of 0.85: 0.47 + 0.29 > 0.7
        (Sampling(top_k=3, min_p=0.6), [1, 3]),
    ],
)
def test_only_the_tokens_that_a_setting_allows_are_left(
    sampling: Sampling, kept: list[int]
) -> None:
    wanted = np.zeros_like(P)
    wanted[0, kept] = P[0, kept] / P[0, kept].sum()
    np.testing.assert_allclose(restrict(P, sampling), wanted, rtol=1e-12)


def test_among_equals_the_lower_ids_are_kept() -> None:
    equal = np.full((1, 4), 0.25)
    assert restrict(equal, Sampling(top_k=2)).tolist() == [[0.5, 0.5, 0, 0]]
    assert restrict(equal, Sampling(top_p=0.5)).tolist() == [[0.5, 0.5, 0, 0]]


class EvenDice:
    """Stands for a generator: the middles of n equal parts of 0 … 1."""

    def random(self, n: int) -> np.ndarray:
        return (np.arange(n) + 0.5) / n


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_even_dice_give_each_token_exactly_its_share(temperature: float) -> None:
    n = 10_000
    logits = np.tile(np.log(P), (n, 1)).astype(np.float32)
    seen = np.zeros((n, 5), bool)
    ids, _ = sample(logits, seen, Sampling(temperature), rng=EvenDice())  # type: ignore[arg-type]
    wanted = P[0] ** (1 / temperature) / (P[0] ** (1 / temperature)).sum()
    counts = np.bincount(ids, minlength=5)
    assert np.abs(counts - n * wanted).max() <= 1.5


def test_tokens_are_drawn_as_often_as_the_model_says() -> None:
    n, temperature = 20_000, 0.7
    logits = np.tile(np.log(P), (n, 1)).astype(np.float32)
    seen = np.zeros((n, 5), bool)
    ids, _ = sample(logits, seen, Sampling(temperature), rng=dice())
    wanted = P[0] ** (1 / temperature) / (P[0] ** (1 / temperature)).sum()
    counts = np.bincount(ids, minlength=5)
    chi2 = ((counts - n * wanted) ** 2 / (n * wanted)).sum()
    assert chi2 < 18.5  # 4 degrees of freedom: exceeded once in 1000 seeds


@given(st.floats(-5, 5), st.floats(1.01, 3))
def test_a_repeated_token_loses_and_others_do_not(logit: float, penalty: float) -> None:
    logits = np.array([[logit, logit]])
    seen = np.array([[True, False]])
    out = penalise_repetition(logits, seen, penalty)
    assert out[0, 1] == logit
    assert out[0, 0] == (logit / penalty if logit > 0 else logit * penalty)
    assert out[0, 0] <= logit


def test_with_a_huge_penalty_no_token_comes_twice() -> None:
    model = model_of()
    free = generate(model, CHARS, ["a"], 10, GREEDY, rng=dice())[0]
    assert len({0, *free.ids}) < 11  # or the next lines show nothing
    # every logit positive, so that the penalty sends what was there to the bottom
    logits = np.arange(1, 12, dtype=np.float32)[None]
    seen, order = np.zeros((1, 11), bool), []
    for _ in range(11):
        ids, _ = sample(logits, seen, Sampling(0, repetition_penalty=1e6), rng=dice())
        order.append(int(ids[0]))
        seen[0, ids[0]] = True
    assert order == list(range(10, -1, -1))


def test_the_penalty_sees_prompt_and_answer() -> None:
    decoder = decoder_of(model_of(), CHARS, ["ab", "k"])
    decoder.append(np.array([3, 4]))
    assert [np.flatnonzero(s).tolist() for s in decoder.seen] == [[0, 1, 3], [4, 10]]


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), GREEDY, Sampling(0.5, top_k=3, repetition_penalty=1.3)],
)
def test_log_probabilities_are_the_model_s_own(sampling: Sampling) -> None:
    model = model_of()
    done = generate(model, CHARS, ["ab"], 10, sampling, rng=dice())[0]
    tokens = [0, 1]
    for token, logprob in zip(done.ids, done.logprobs, strict=True):
        wanted = log_softmax(last_logits(model, tokens))[token]
        assert logprob == pytest.approx(wanted, abs=1e-4)
        assert logprob <= 0
        tokens.append(token)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_damaged_weights_are_said_instead_of_sampled(bad: float) -> None:
    model = model_of()
    model.params.final_norm_weight[0] = bad
    with pytest.raises(DataError, match="damaged"):
        generate(model, CHARS, ["a"], 3, rng=dice())


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"temperature": math.nan}, {"top_k": -1}, {"top_p": 0.0},
     {"top_p": 1.1}, {"min_p": -0.1}, {"min_p": 2.0}, {"repetition_penalty": 0.0}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("ids", [[[-1, 0]], [[0, 11]], [[2**40, 1]]])
def test_ids_outside_the_vocabulary_are_refused(ids: list[list[int]]) -> None:
    with pytest.raises(DataError, match="token ids"):
        model_of().logits(np.array(ids))


def test_a_text_longer_than_the_context_is_refused() -> None:
    model = model_of()
    assert model.logits(np.zeros((1, 12), np.int64)).shape == (1, 12, 11)
    with pytest.raises(DataError, match="positions"):
        model.logits(np.zeros((1, 13), np.int64))


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(DataError, match="at least one token"):
        generate(model_of(), CHARS, ["a", ""], 3, rng=dice())


def test_a_tokenizer_too_large_for_the_model_is_refused() -> None:
    with pytest.raises(DataError, match="256"):
        generate(model_of(), ByteTokenizer(), ["a"], 3, rng=dice())


def test_tokens_that_the_tokenizer_does_not_know_are_never_drawn() -> None:
    """A model may have room for more: its vocabulary may be rounded up."""
    model = model_of()
    few = CharTokenizer("abc")
    done = generate(model, few, ["abc"], 60, Sampling(5.0), rng=dice())[0]
    assert set(done.ids) == {0, 1, 2}


# --- text ---------------------------------------------------------------------------


def streamed(
    tokens: list[int], tokenizer: object, *stop: str
) -> tuple[list[str], bool]:
    """The pieces that a stream hands out for these tokens, and whether it stopped."""
    text, parts = TextStream(tokenizer, stop), []  # type: ignore[arg-type]
    for token in tokens:
        parts.append(text.push(token))
        if text.stopped:
            break
    return [*parts, text.flush()], text.stopped


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("stop", [(), ("ab",), ("k", "cc")])
def test_streamed_text_equals_generated_text(seed: int, stop: tuple[str, ...]) -> None:
    model = model_of(seed=seed)
    done = generate(model, CHARS, ["ab"], 30, Sampling(2.0), stop, rng=dice(seed))[0]
    tokens = list(stream(model, CHARS, "ab", 30, Sampling(2.0), stop, rng=dice(seed)))
    assert "".join(t.text for t in tokens) == done.text
    assert [t.id for t in tokens] == done.ids
    assert [t.logprob for t in tokens] == done.logprobs
    assert not any(s in done.text for s in stop)
    if not done.stopped:
        assert len(done.ids) == 30 and done.text == CHARS.decode(done.ids)


@pytest.mark.parametrize("seed", range(5))
def test_streamed_bytes_equal_generated_bytes(seed: int) -> None:
    model = model_of(BYTES, seed)
    done = generate(model, ByteTokenizer(), ["é"], 40, Sampling(2.0), rng=dice(seed))[0]
    tokens = stream(model, ByteTokenizer(), "é", 40, Sampling(2.0), rng=dice(seed))
    assert "".join(t.text for t in tokens) == done.text
    assert done.text == ByteTokenizer().decode(done.ids)


def test_no_tokens_asked_for_is_no_tokens() -> None:
    model = model_of()
    empty = Completion("", [], [], False)
    assert generate(model, CHARS, ["a"], 0, rng=dice()) == [empty]
    assert list(stream(model, CHARS, "a", 0, rng=dice())) == []


def test_a_stop_string_is_found_across_tokens_and_not_shown() -> None:
    tokens = CHARS.encode("gcabdcabcg").tolist()
    parts, stopped = streamed(tokens, CHARS, "cabc")
    assert stopped and "".join(parts) == "gcabd"
    assert parts[:5] == ["g", "", "", "", "cabd"]  # held back until it is certain


def test_what_was_held_back_for_a_stop_string_comes_at_the_end() -> None:
    parts, stopped = streamed(CHARS.encode("gab").tolist(), CHARS, "abc")
    assert not stopped and parts == ["g", "", "", "ab"]


def test_the_first_of_several_stop_strings_wins() -> None:
    parts, stopped = streamed(CHARS.encode("abcdef").tolist(), CHARS, "def", "cd")
    assert stopped and "".join(parts) == "ab"


def test_an_empty_stop_string_stops_nothing() -> None:
    parts, stopped = streamed(CHARS.encode("abc").tolist(), CHARS, "")
    assert not stopped and "".join(parts) == "abc"


def test_a_row_that_stopped_leaves_the_others_alone() -> None:
    model = model_of()
    free = generate(model, CHARS, ["a", "bcd"], 12, GREEDY, rng=dice())
    stop = (free[0].text[2:4],)
    assert stop[0] not in free[1].text, "pick another model: both rows would stop"
    done = generate(model, CHARS, ["a", "bcd"], 12, GREEDY, stop, rng=dice())
    assert done[0].stopped and stop[0] not in done[0].text
    assert len(done[0].ids) < 12
    assert done[1] == free[1]


@given(st.text(max_size=12))
def test_a_character_of_several_bytes_comes_when_it_is_whole(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode("utf-8").replace("\ufffd", "")
    tokenizer = ByteTokenizer()
    tokens = tokenizer.encode(text).tolist()
    parts, _ = streamed(tokens, tokenizer)
    assert "".join(parts) == text
    assert not any("\ufffd" in part for part in parts)


def test_bytes_that_stay_broken_are_shown_at_the_end() -> None:
    parts, _ = streamed([65, 0xE2, 0x82], ByteTokenizer())
    assert parts == ["A", "", "", "\ufffd"]


@given(st.binary(max_size=20))
def test_any_bytes_stream_as_they_decode(data: bytes) -> None:
    parts, _ = streamed(list(data), ByteTokenizer())
    assert "".join(parts) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("stop", ["€", "b", "b€", "€é", "é€b"])
def test_a_stop_string_with_characters_of_several_bytes_is_never_shown(
    stop: str,
) -> None:
    tokens = ByteTokenizer().encode("a" + stop + "c").tolist()
    parts, stopped = streamed(tokens, ByteTokenizer(), stop)
    assert stopped and "".join(parts) == "a"


def test_a_row_at_the_end_of_its_context_costs_the_others_nothing() -> None:
    """Only the row that is full goes on with its newest half."""
    model, prompts = model_of(), ["abcdefgh", "kjihgfed", "bcdefgh", "ab"]
    together = generate(model, CHARS, prompts, 20, GREEDY, rng=dice())
    for prompt, done in zip(prompts, together, strict=True):
        alone = generate(model, CHARS, [prompt], 20, GREEDY, rng=dice())[0]
        assert done.ids == alone.ids, prompt


@pytest.mark.parametrize(
    "sampling",
    [Sampling(1e-320), Sampling(1e300), Sampling(top_p=1e-320), Sampling(min_p=1.0),
     Sampling(repetition_penalty=1e38), Sampling(0, repetition_penalty=1e-38)],
)  # fmt: skip
def test_extreme_settings_give_a_token_and_no_warning(sampling: Sampling) -> None:
    largest = np.finfo(np.float32).max
    for row in ([3.0, 80.0, -80.0, 0.0], [-largest, largest, -largest, 0.0]):
        logits = np.array([row], np.float32)
        for seen in (np.zeros((1, 4), bool), np.ones((1, 4), bool)):
            ids, logprobs = sample(logits, seen, sampling, rng=dice())
            assert 0 <= ids[0] < 4 and np.isfinite(logprobs).all()


@pytest.mark.parametrize("name", ["temperature", "repetition_penalty"])
def test_infinite_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Sampling(**{name: math.inf})
