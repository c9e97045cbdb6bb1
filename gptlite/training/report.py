"""report.html: what a run did, on one page that needs no network."""

from __future__ import annotations

from gptlite import plots
from gptlite.files import write_bytes, write_text
from gptlite.page import as_written, facts, heading, page, picture
from gptlite.training.loop import Summary
from gptlite.training.run import Run


def write_curve(run: Run) -> None:
    """learning_curve.png, from metrics.jsonl."""
    write_bytes(run.curve_file, plots.png(plots.learning_curve(run.metrics())))


def write_report(run: Run, summary: Summary, n_params: int, title: str) -> None:
    """The learning curve as a picture, and report.html with it inside."""
    write_curve(run)
    found = {
        "parameters": f"{n_params:,}",
        "steps": f"{summary.steps:,}",
        "time": f"{summary.seconds:.0f} s",
        "speed": f"{summary.tokens_per_s:,.0f} tokens/s",
        "validation loss, whole split": f"{summary.val_loss:.3f} nats a token",
        "the same": f"{summary.bits_per_byte:.3f} bits a byte",
    }
    samples = "no samples yet"
    if run.samples_file.exists():
        samples = run.samples_file.read_text(encoding="utf-8")
    curve = run.curve_file.read_bytes()
    parts = [
        facts(found),
        heading("Learning curve"),
        picture(curve, "Loss over the steps, training and validation"),
        heading("Samples while it learned"),
        as_written(samples),
    ]
    write_text(run.report_file, page(title, parts))
