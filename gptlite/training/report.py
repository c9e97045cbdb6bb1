"""report.html: what a run did, on one page that needs no network."""

from __future__ import annotations

import base64
import html
import io

from gptlite import plots
from gptlite.files import write_bytes, write_text
from gptlite.training.loop import Summary
from gptlite.training.run import Run

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; background: #fff; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; }}
td, th {{ padding: .3rem 1rem .3rem 0; text-align: left; font-weight: normal; }}
td {{ font-variant-numeric: tabular-nums; font-weight: 600; }}
pre {{ background: #f4f4f4; padding: 1rem; white-space: pre-wrap; font-size: 16px; }}
</style></head><body>
<h1>{title}</h1>
<table>{rows}</table>
<h2>Learning curve</h2>
<img alt="Loss over the steps, training and validation"
     src="data:image/png;base64,{curve}">
<h2>Samples while it learned</h2>
<pre>{samples}</pre>
</body></html>
"""


def write_curve(run: Run) -> None:
    """learning_curve.png, from metrics.jsonl."""
    picture = io.BytesIO()
    plots.save(plots.learning_curve(run.metrics()), picture)
    write_bytes(run.curve_file, picture.getvalue())


def write_report(run: Run, summary: Summary, n_params: int, title: str) -> None:
    """The learning curve as a picture, and report.html with it inside."""
    write_curve(run)
    facts = {
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
    page = PAGE.format(
        title=html.escape(title),
        rows="".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in facts.items()),
        curve=base64.b64encode(run.curve_file.read_bytes()).decode("ascii"),
        samples=html.escape(samples),
    )
    write_text(run.report_file, page)
