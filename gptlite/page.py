"""A page of HTML with everything in it: it needs no network and runs no script.

All texts and numbers that are given become text: nothing in them is read as HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; background: #fff; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; margin-bottom: 1rem; }}
td, th {{ padding: .3rem 1rem .3rem 0; text-align: left; font-weight: normal;
         vertical-align: top; }}
td {{ font-variant-numeric: tabular-nums; font-weight: 600; white-space: pre-wrap;
     overflow-wrap: anywhere; }}
pre {{ background: #f4f4f4; padding: 1rem; white-space: pre-wrap; font-size: 16px; }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page. parts: what the functions below return, from top to bottom.

    >>> "<h1>1 &lt; 2</h1>" in page("1 < 2", [heading("Why")])
    True
    """
    return PAGE.format(title=escape(title), body="\n".join(parts))


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def facts(rows: Mapping[str, str]) -> str:
    """A table of two columns: what, and how much.

    >>> facts({"steps": "2,000"})
    '<table><tr><th>steps</th><td>2,000</td></tr></table>'
    """
    lines = (
        f"<tr><th>{escape(what)}</th><td>{escape(value)}</td></tr>"
        for what, value in rows.items()
    )
    return f"<table>{''.join(lines)}</table>"


def as_written(text: str) -> str:
    """A text with its line breaks and spaces."""
    return f"<pre>{escape(text)}</pre>"


def picture(png: bytes, shows: str) -> str:
    """A PNG file, such as `plots.png` makes; shows: for who cannot see it."""
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(shows)}"\n     src="data:image/png;base64,{data}">'
