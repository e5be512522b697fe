"""The curves of section `scale` as a picture: one chart each, both axes linear and from zero, so that a straight line is one."""
from html import escape

WIDTH, HEIGHT, LEFT, TOP, GAP = 210, 130, 62, 34, 64
COLUMNS = 3
AXIS, LINE, TEXT = "#8a8a8a", "#2a78d6", "#7a7a7a"
WORDS = {"mounts": "folders as inputs", "inputs": "files by one pattern", "layers": "layers of an image", "parallel": "sandboxes at once (of each)",
         "output": "MB of kept output", "past": "past runs of the project"}


def rounded(most):
    """The next number of one digit above it, for the end of an axis."""
    step = 10 ** max(0, len(str(int(most))) - 1)
    return -(-most // step) * step or 1


def text(x, y, words, anchor="middle", size=11):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{TEXT}">{escape(words)}</text>'


def chart(name, points, x, y):
    right, bottom = rounded(max(count for count, _ in points)), rounded(max(ms for _, ms in points))
    at = [(x + count / right * WIDTH, y + HEIGHT - ms / bottom * HEIGHT) for count, ms in points]
    yield f'<path d="M{x} {y} V{y + HEIGHT} H{x + WIDTH}" fill="none" stroke="{AXIS}"/>'
    yield f'<polyline points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in at)}" fill="none" stroke="{LINE}" stroke-width="2"/>'
    for (count, ms), (px, py) in zip(points, at):
        yield f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{LINE}"><title>{count:,}: {ms:,.1f} ms</title></circle>'
    yield text(x + WIDTH / 2, y - 12, WORDS.get(name, name), size=12)
    yield text(x - 6, y + 9, f"{bottom:,.0f} ms", "end")
    yield text(x - 6, y + HEIGHT, "0", "end")
    yield text(x + WIDTH, y + HEIGHT + 16, f"{right:,.0f}")


def picture(curves):
    """{name: [(count, milliseconds)]} as SVG."""
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    rows = -(-len(curves) // COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + LEFT, rows * (HEIGHT + GAP) + TOP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">']
    for number, (name, points) in enumerate(curves.items()):
        parts += chart(name, points, LEFT + number % COLUMNS * (WIDTH + GAP), TOP + number // COLUMNS * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    # plot.py RESULT.json... : the curves of these results, of each the last one, on standard output.
    import json
    import sys
    curves = {}
    for name in sys.argv[1:]:
        with open(name) as file:
            curves |= json.load(file)["sections"]["scale"]
    sys.stdout.write(picture(curves))
