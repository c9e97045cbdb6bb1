"""The command line: one sub-command a stage. It only parses, calls and prints."""

from __future__ import annotations

import argparse
import dataclasses
import io
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gptlite import __version__
from gptlite.bench import PEERS, SCALED
from gptlite.clock import process_started
from gptlite.commands import (
    Commands,
    alignment,
    assistant,
    cluster,
    data,
    ratings,
    tokenizer,
    vectors,
    whole,
)
from gptlite.config import DTYPES, PRESETS, GPTConfig, TrainConfig, configs_from, preset
from gptlite.errors import ConfigError, GptliteError
from gptlite.output import print_result

TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}


def add_fields(parser: argparse.ArgumentParser, *kinds: type) -> None:
    """A flag for every field of the dataclasses; absent unless it is given."""
    for kind in kinds:
        group = parser.add_argument_group(f"{kind.__name__} (default: the preset's)")
        for field in dataclasses.fields(kind):
            flag = "--" + field.name.replace("_", "-")
            how: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": field.name}
            if field.type == "bool":
                group.add_argument(flag, action=argparse.BooleanOptionalAction, **how)
            else:
                metavar = {"int": "N", "float": "X", "str": "NAME"}[str(field.type)]
                to_type = TYPES[str(field.type)]
                group.add_argument(flag, type=to_type, metavar=metavar, **how)


def given_fields(args: argparse.Namespace, *kinds: type) -> dict[str, Any]:
    names = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def _say_that_it_starts() -> None:
    if sys.stderr.isatty():
        print("starting; the first time, kernels are compiled for some seconds …",
              file=sys.stderr, flush=True)  # fmt: skip


def command_pretrain(args: argparse.Namespace) -> dict[str, Any]:
    _say_that_it_starts()
    from gptlite.corpus.corpus import is_corpus
    from gptlite.training.pretrain import pretrain
    from gptlite.training.report import write_report
    from gptlite.training.run import Run

    changes = given_fields(args, GPTConfig, TrainConfig)
    out, text = args.out or f"runs/{args.preset}", args.text
    vocab_size = changes.pop("vocab_size", None)
    if "tokenizer" in changes and text is not None and is_corpus(text):
        raise ConfigError(
            f"wanted a corpus or --tokenizer, got both; {text} has a tokenizer: leave "
            "out the flag, or build the corpus with `data build --tokenizer`"
        )
    if args.resume:
        stored_text, model, training = Run(out).read_config()
        text = stored_text if text is None else text
        vocab_size = vocab_size or model.vocab_size
        if "steps" in changes and training.seconds and "seconds" not in changes:
            raise ConfigError(
                f"wanted --seconds for a run timed at {training.seconds:g} s, got "
                "--steps; raise --seconds, or count steps with --seconds 0"
            )
        fields = {**dataclasses.asdict(model), **dataclasses.asdict(training)}
        model, training = configs_from({**fields, **changes})
    else:
        model, training = preset(args.preset, **changes)
    result = pretrain(
        out,
        "sample" if text is None else text,
        model,
        training,
        args.resume,
        vocab_size,
        process_started(),
        init_embeddings=args.init_embeddings,
    )
    if result.run.silent:  # the first worker says it
        return {}
    summary = result.summary
    name = None if args.resume else args.preset
    write_report(result.run, summary, result.model.n_params, f"gptlite {name or out}")
    described = {"out": out, "preset": name, "n_params": result.model.n_params}
    if args.init_embeddings is not None:
        described["embedding_rows_set"] = result.rows_set
    if result.set_aside:
        print(f"the earlier run is now {result.set_aside}", file=sys.stderr)
    if math.isnan(summary.train_loss):
        hint = "raise --seconds" if training.seconds else "raise --steps"
        print(f"step {summary.steps} was the last already; {hint}", file=sys.stderr)
    if summary.interrupted:
        print(f"stopped at step {summary.steps}; go on with --resume", file=sys.stderr)
    return described | dataclasses.asdict(summary)


def command_generate(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    from gptlite.models.generate import generate, stream
    from gptlite.models.sampling import Sampling
    from gptlite.training.run import open_run

    sampling = Sampling(**given_fields(args, Sampling))
    model, tokenizer = open_run(args.run_folder).load()
    rng, stop = np.random.default_rng(args.seed), tuple(args.stop)
    if args.json:
        done = generate(
            model, tokenizer, [args.prompt], args.max_tokens, sampling, stop, rng=rng
        )[0]
        return {"prompt": args.prompt} | dataclasses.asdict(done)
    tokenizer.encode(args.prompt)  # an unknown character is an error before any output
    print(args.prompt, end="", flush=True)
    for token in stream(
        model, tokenizer, args.prompt, args.max_tokens, sampling, stop, rng=rng
    ):
        print(token.text, end="", flush=True)
    print()
    return {}


def command_demo(args: argparse.Namespace) -> dict[str, Any]:
    _say_that_it_starts()
    from gptlite.demo.road import run_demo

    asks = sys.stdin.isatty() and sys.stdout.isatty() and not args.json
    result = run_demo(args.out, args.seconds, asks)
    if asks:
        from gptlite.assistant.terminal import chat_with

        chat_with(f"{args.out}/policy")
    if not args.json:
        return {}
    return {"out": args.out} | dataclasses.asdict(result.summary)


def command_bench(args: argparse.Namespace) -> dict[str, Any]:
    from gptlite.bench import assistant as assistants
    from gptlite.bench import kernels, operations, ppo, scaling, system, train
    from gptlite.bench import text as texts

    name, peer = args.preset, args.against
    if peer and peer not in PEERS[args.what]:
        known = ", ".join(PEERS[args.what]) or "none"
        raise ConfigError(
            f"wanted a peer that `bench {args.what}` knows ({known}), got {peer!r}; "
            "leave out --against to measure gptlite alone"
        )
    run: dict[str, Callable[[], dict[str, Any]]] = {
        "train": lambda: train.bench_train(name, peer, args.workers, args.dtype),
        "matmul": lambda: operations.bench_matmul(peer, args.dtype),
        "attention": lambda: operations.bench_attention(peer),
        "bpe": lambda: texts.bench_bpe(peer),
        "vectors": lambda: texts.bench_vectors(peer),
        "kernels": lambda: kernels.bench_kernels(),
        "layernorm": lambda: operations.bench_layernorm(peer),
        "generate": lambda: system.bench_generate(name),
        "scaling": lambda: scaling.bench_scaling(name, args.pool, args.workers),
        "first-step": lambda: system.bench_first_step(name, peer),
        "memory": lambda: system.bench_memory(name, peer),
        "import": lambda: system.bench_import(),
        "finetune": lambda: assistants.bench_finetune(),
        "chat": lambda: assistants.bench_chat(),
        "ppo": lambda: ppo.bench_ppo(peer),
    }
    return run[args.what]()


def command_info(args: argparse.Namespace) -> dict[str, Any]:
    import numba
    import numpy as np
    from threadpoolctl import threadpool_info

    from gptlite.ops.kernels.jit import cache_folder
    from gptlite.ops.kernels.processor import COLS, ROWS, instructions
    from gptlite.parallel.pool import available_cores

    blas = [f"{lib['internal_api']} {lib.get('version')} ({lib.get('architecture')})"
            for lib in threadpool_info() if lib["user_api"] == "blas"]  # fmt: skip
    return {
        "gptlite": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "numba": numba.__version__,
        "blas": ", ".join(blas),
        "cores": available_cores(),
        "instructions": instructions(),
        "tile": f"{ROWS} rows × {COLS} columns of sums in registers",
        "kernel_cache": str(cache_folder()),
        "presets": ", ".join(PRESETS),
    }


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"wanted seconds > 0, got {text}")
    return value


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gptlite", description="How a ChatGPT is made, brick by brick."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = Commands(parser)
    command = commands.add
    demo = command("demo", command_demo, "train a small GPT and show what it learned")
    demo.add_argument("--out", default="runs/demo", metavar="RUN")
    demo.add_argument(
        "--seconds", type=_seconds, metavar="X", help="time for the training"
    )

    pretrain = command("pretrain", command_pretrain, "train a model on a text")
    pretrain.add_argument("--preset", default="baby", metavar="P",
                          help=", ".join(PRESETS))  # fmt: skip
    pretrain.add_argument(
        "--text",
        metavar="PATH",
        help="a file, a folder, a built corpus, or - (standard input); default: the "
        "plays in the package",
    )
    pretrain.add_argument("--out", metavar="RUN", help="folder; default: runs/PRESET")
    pretrain.add_argument("--resume", action="store_true", help="go on with --out")
    pretrain.add_argument(
        "--init-embeddings", metavar="VEC", help="start from these vectors of tokens"
    )
    add_fields(pretrain, GPTConfig, TrainConfig)

    generate = command("generate", command_generate, "continue a prompt")
    generate.add_argument("run_folder", metavar="RUN")
    generate.add_argument("--prompt", required=True, metavar="TEXT")
    generate.add_argument("--max-tokens", type=whole, default=200, metavar="N")
    generate.add_argument("--stop", action="append", default=[], metavar="TEXT")
    generate.add_argument("--seed", type=whole, metavar="N")
    from gptlite.models.sampling import Sampling

    add_fields(generate, Sampling)

    bench = command("bench", command_bench, "measure, alone or against a peer")
    bench.add_argument("what", choices=PEERS)
    bench.add_argument("--preset", default="baby", metavar="P")
    bench.add_argument("--against", metavar="PEER", help="torch or torch-compile")
    bench.add_argument("--dtype", choices=DTYPES, default="float32",
                       help="of the products (matmul, train)")  # fmt: skip
    bench.add_argument("--workers", type=whole, default=0, metavar="N")
    bench.add_argument("--pool", choices=SCALED, default="threads", help="of scaling")

    for part in (data, tokenizer, vectors, assistant, ratings, alignment, cluster):
        part.add(commands)
    command("info", command_info, "versions, cores, BLAS, folders, presets")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # show `?` rather than fail
            output.reconfigure(errors="replace")
    args = build_parser().parse_args(argv)
    try:
        result = args.run(args)
        print_result(result, args.json)
        if sys.stdout is not None:  # closed: nobody wants to see it
            sys.stdout.flush()
    except GptliteError as error:
        print(f"gptlite: error: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"gptlite: error: wanted more memory than there is ({error}); "
              "make it smaller", file=sys.stderr)  # fmt: skip
        return 1
    except BrokenPipeError:  # `… | head`: who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where, why = error.filename or "a file", error.strerror or error
        print(f"gptlite: error: cannot use {where}: {why}; check the path, the rights "
              "to it and the space on the disk", file=sys.stderr)  # fmt: skip
        return 1
    except KeyboardInterrupt:
        print("gptlite: interrupted", file=sys.stderr)
        return 130
    return 130 if result.get("interrupted") else 0
