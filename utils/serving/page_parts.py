"""What the page shows, made of answers: the label, the chart, what the model sees, the table.

Enters: `utils.serving.classifier.Answer`. Leaves: HTML, and a Plotly figure as JSON, each a str.
"""

import base64
import csv
import html
import io
import json
from urllib.parse import quote

from PIL import Image

from utils.base.cifar10 import CLASS_NAMES
from utils.serving.picture_input import BETTER, MAX_BYTES

HEADER = ("file", "class", "percent", "note")
BARS = 20  # at most: of more classes the chart has the most probable ones
FORMULA = "=+-@\t\r"
BAR, PREDICTED, DOUBTED = "#9db4c8", "#e4572e", "#8d8d8d"
LAYOUT = {
    "xaxis": {
        "title": {"text": "percent", "standoff": 8},
        "range": [0, 130],  # room for the number beside a full bar
        "tickvals": [0, 25, 50, 75, 100],
    },
    "yaxis": {"autorange": "reversed", "tickmode": "linear"},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "font": {"size": 14},
}
CSS = """
.answer {text-align: center; min-height: 6.5em}
.answer b {display: block; font-size: 2.6rem; line-height: 1.2; color: #e4572e}
.answer b.doubted {font-size: 1.7rem; color: inherit}
.seen {display: flex; gap: 1rem; align-items: end; justify-content: center; flex-wrap: wrap}
.seen img {image-rendering: pixelated; margin: 0}
.seen .whole {position: relative; line-height: 0}
.seen .whole img {image-rendering: auto}
.seen .whole i {position: absolute; outline: 2px solid #e4572e; box-shadow: 0 0 0 4px #fff8}
.caption {text-align: center}
#problems {font-size: 0.85em; opacity: 0.7}
#picture img {object-fit: contain; min-width: 60%}  /* a small picture fills its place too */
#notice p:empty {display: none}
#notice p {font-weight: bold; text-align: center}
.several {overflow-x: auto; text-align: left}
.several tr:first-child {font-weight: bold}
.several td {padding: 0.3em 0.5em; font-size: 0.85em}
.several td:first-child {overflow-wrap: anywhere; min-width: 6em}
@media (max-width: 767px) {  /* one column: the answer comes before the examples */
  #one > .column:first-child {display: contents}
  #examples {order: 1}
}
"""
# Gradio's own refusals of an upload come as a pop-up titled "Error": this speaks before it does.
# And it takes a picture by Ctrl+V, where Gradio has a button only.
HEAD = f"""<script>
const NAMES = /[.](hei[cf]|avif|tiff?)$/i;  // of which not every system knows the type
function receive(event) {{
  const files = (event.dataTransfer ?? event.clipboardData ?? event.target).files ?? [];
  if (files.length === 0) return;
  const several = event.target.closest?.("#several");
  let reason = "";
  for (const file of files) {{
    if (file.size > {MAX_BYTES})
      reason = "This file has more than {MAX_BYTES // 2**20} MB; make it smaller first.";
    else if (!several && !file.type.startsWith("image/") && !NAMES.test(file.name))
      reason = "This file is not a picture that can be read; {BETTER}";
  }}
  document.querySelector("#notice p").textContent = reason;
  const input = document.querySelector("#picture input[type=file]");
  if (!reason && event.type === "paste" && input?.closest("#picture").checkVisibility()) {{
    input.files = files;
    input.dispatchEvent(new Event("change", {{bubbles: true}}));
  }}
  if (!reason) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (event.type === "change") event.target.value = "";
}}
for (const type of ["change", "drop", "paste"]) window.addEventListener(type, receive, true);
window.addEventListener("error", (event) => {{  // HEIC and TIFF, in most browsers
  if (!event.target.matches?.("#picture img")) return;
  event.target.alt = "This kind of picture can't be shown here; see below the answer.";
  event.target.style.padding = "3em 1em";
}}, true);
</script>"""


NOTICE = '<p role="alert"></p>'  # where the script in `HEAD` says why it refused a file


def about(classifier):
    """Return Markdown (str) on a model (utils.serving.classifier.Classifier)."""
    is_right = ""
    if classifier.accuracy is not None:
        is_right = f" It is right on {classifier.accuracy:.1%} of the test pictures."
    names, pictures, count = classifier.class_names, "the 32x32 pictures of CIFAR-10", "ten"
    if names != CLASS_NAMES:
        pictures, count = "pictures of {}x{} pixels".format(*classifier.image_shape), len(names)
    others = f" and {len(names) - BARS} others" if len(names) > BARS else ""
    return " ".join(
        [
            f"A neural network, trained on {pictures}.{is_right} "
            f"It only knows {count} classes: {', '.join(names[:BARS])}{others}.",
            *classifier.notes,
        ]
    )


def left_out(problems):
    """Return HTML (str) with a sentence for each model file that is not offered."""
    return "".join(f"<p>Not offered: {html.escape(problem)}</p>" for problem in problems)


def sentence(text):
    """Return HTML (str) that shows one plain sentence in the place of an answer."""
    return f'<div class="answer" aria-live="polite">{html.escape(text)}</div>'


def label(answer):
    """Return HTML (str) with the predicted class in large letters and its percentage."""
    share = f"{answer.shares[answer.label]:.1%}".replace("%", " %")
    name = html.escape(answer.label)
    if answer.trusted:
        return f'<div class="answer" aria-live="polite"><b>{name}</b>{share}</div>'
    return (
        '<div class="answer" aria-live="polite"><b class="doubted">Probably none of the '
        f"{_count(answer)}</b>What comes nearest is {name} ({share}), but don't trust it.</div>"
    )


def _count(answer):
    return "ten" if len(answer.shares) == len(CLASS_NAMES) else f"{len(answer.shares)} classes"


def chart(answer):
    """Return a bar chart of the percentages, the predicted bar highlighted.

    They are in the order of the classes; of more than `BARS` the largest, in theirs.
    It is the JSON (str) that the browser's Plotly draws: Plotly's own Python objects take
    milliseconds to check each value, and more to import.
    """
    shares = answer.shares
    if len(shares) > BARS:
        shares = dict(sorted(shares.items(), key=lambda pair: -pair[1])[:BARS])
    percentages = [100 * share for share in shares.values()]
    highlight = PREDICTED if answer.trusted else DOUBTED
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": percentages,
        "y": [html.escape(name) for name in shares],
        "marker": {"color": [highlight if n == answer.label else BAR for n in shares]},
        "text": [f"{value:.1f} %" for value in percentages],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{x:.2f} %<extra></extra>",
    }
    left = max(90, 9 * max(map(len, shares)))  # above it, Plotly's buttons
    size = {
        "height": max(400, 80 + 24 * len(shares)),
        "margin": {"l": left, "r": 10, "t": 30, "b": 50},
    }
    return json.dumps({"data": [bars], "layout": LAYOUT | size})


def seen(answer):
    """Return HTML (str) with the picture that the model was given, as it is and enlarged.

    Where a part was chosen, or a browser can't show the picture, the whole stands beside it with a
    frame around what was looked at.
    """
    picture = answer.picture
    source, (height, width) = _source(picture.pixels), picture.pixels.shape[:2]
    whole = ""
    if picture.overview is not None:
        left, top, wide, high = (f"{100 * share:.2f}%" for share in picture.frame)
        whole = (
            f'<span class="whole"><img src="{_source(picture.overview)}" alt="the whole picture">'
            f'<i style="left: {left}; top: {top}; width: {wide}; height: {high}"></i></span>'
        )
    size, x, y = (round(100 * share) for share in picture.part)
    looked_at = "of the middle square"
    if size < 100:
        looked_at = f"of a square, its side {size} % of the picture's shorter one"
        looked_at += f", {x} % from left to right, {y} % from top to bottom"
    elif x != 50 or y != 50:
        looked_at = f"of the square {x} % from left to right, {y} % from top to bottom"
    return (
        f'<div class="seen">{whole}'
        f'<img src="{source}" width="{width}" height="{height}" alt="in its size">'
        f'<img src="{source}" width="160" height="160" alt="enlarged"></div>'
        f'<p class="caption">What the model sees: {width}x{height} pixels, {looked_at}</p>'
    )


def _source(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")  # to pack 3 KB as a PNG takes longer
    return f"data:image/bmp;base64,{base64.b64encode(file.getvalue()).decode()}"


def table(names, answers, class_names=CLASS_NAMES):
    """Show what became of several pictures, and offer it as CSV.

    Parameters
    ----------
    names : list of str
        File names.
    answers : list of Answer or str
        A sentence where a file holds no picture.
    class_names : sequence of str

    Returns
    -------
    str
        HTML: a table, and a link that downloads a CSV file with all percentages.
    """
    records = [
        [name, *_record(answer, len(class_names))]
        for name, answer in zip(names, answers, strict=True)
    ]
    shown = [HEADER, *(record[:4] for record in records)]
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>" for cells in shown
    )
    text = io.StringIO()
    # To a spreadsheet a cell that begins so is a formula; the name of a file or a class can.
    rows_of_csv = [[*HEADER, *class_names], *records]
    safe = [
        [f"'{cell}" if cell[:1] in FORMULA and cell else cell for cell in row]
        for row in rows_of_csv
    ]
    csv.writer(text).writerows(safe)
    link = f"data:text/csv;charset=utf-8,{quote(text.getvalue())}"
    return (
        f'<div class="several answer"><table>{rows}</table>'
        f'<a download="predictions.csv" href="{link}">Download as CSV</a></div>'
    )


def _record(answer, classes):
    if isinstance(answer, str):
        return ["", "", answer, *[""] * classes]
    percentages = [f"{100 * share:.2f}" for share in answer.shares.values()]
    note = "" if answer.trusted else f"probably none of the {_count(answer)}"
    return [answer.label, f"{100 * answer.shares[answer.label]:.2f}", note, *percentages]
