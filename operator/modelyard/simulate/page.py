"""One HTML page with the table and the plots in it: it can be sent to others as it is. Pure."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from modelyard.simulate.compare import Compared
from modelyard.simulate.table import HEAD, rows

_STYLE = (
    "body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}p{color:#555}"
)


def page(compared: Sequence[Compared], facts: Sequence[str], plots: Mapping[str, bytes]) -> str:
    """``facts`` are lines on what was simulated."""
    images = "\n".join(
        f'<img alt="{escape(name.removesuffix(".png"))}" src="data:image/png;base64,{b64encode(image).decode()}">'
        for name, image in plots.items()
    )
    head = "".join(f"<th>{escape(cell)}</th>" for cell in HEAD)
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows(compared))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>modelyard simulate</title><style>{_STYLE}</style></head><body>
<h1>Scaling, simulated</h1>
{"".join(f"<p>{escape(fact)}</p>" for fact in facts)}
<table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table>
{images}
</body></html>
"""
