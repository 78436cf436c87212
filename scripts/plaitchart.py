"""Writes what was measured: BENCH.md, and bench.svg, a panel for each work."""

import datetime
import html
import os
import platform
import subprocess

import plaitbench

# One column of panels is this wide; a panel's rows are its programs.
WIDTH, COLUMNS, GAP = 310, 3, 20
TITLE, ROW, NAME, VALUE = 32, 15, 84, 56
LEAST, MOST = 0.8, 2  # of each scale; what is beyond is drawn at its end

STYLE = """
svg { font: 12px system-ui, sans-serif; }
.page { fill: #ffffff; } text { fill: #1f2328; }
.floor { stroke: #59636e; } .grid { stroke: #d1d9e0; }
.spread { stroke: #8c959f; stroke-width: 5; stroke-linecap: round; }
.middle { fill: #59636e; } .name { font-weight: 600; }
.plait { fill: #bc4c00; } text.plait { font-weight: 600; }
.plait-spread { stroke: #e8a980; } .small { fill: #59636e; font-size: 11px; }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; } text { fill: #e6edf3; }
.floor { stroke: #9198a1; } .grid { stroke: #3d444d; } .spread { stroke: #59636e; }
.middle { fill: #9198a1; } .plait { fill: #f0883e; }
.plait-spread { stroke: #8a4a1c; } .small { fill: #9198a1; }
}
"""


def ratios(results):
    """Program -> quartiles of its slices to the floor's median."""
    floor = None
    for program, result in results.items():
        quartiles = plaitbench.quartiles(result.costs())
        floor = floor or quartiles[1]
        yield program, [q / floor for q in quartiles]


def panel(case, rows, x, y):
    """The lines of a panel.  All have the same scale."""
    left, right = x + NAME, x + WIDTH - VALUE

    def place(ratio):
        ratio = min(max(ratio, LEAST), MOST)
        return round(left + (right - left) * (ratio - LEAST) / (MOST - LEAST), 1)

    yield f'<text class="name" x="{x}" y="{y + 12}">{html.escape(case.name)}</text>'
    yield f'<text class="small" x="{x}" y="{y + 26}">{html.escape(case.about)}</text>'
    bottom = y + TITLE + ROW * len(rows)
    for ratio in 1, 1.5, 2:
        kind = "floor" if ratio == 1 else "grid"
        yield (f'<line class="{kind}" x1="{place(ratio)}" x2="{place(ratio)}" '
               f'y1="{y + TITLE}" y2="{bottom}"/>')
    for i, (program, (low, middle, high)) in enumerate(rows):
        row = y + TITLE + ROW * i + ROW // 2
        mine = " plait" if program.file == "plait" else ""
        spread = " plait-spread" if mine else ""
        yield f'<text class="{mine[1:]}" x="{x}" y="{row + 4}">{program.name}</text>'
        yield (f'<line class="spread{spread}" x1="{place(low)}" '
               f'x2="{place(high) + 0.1}" y1="{row}" y2="{row}"/>')
        yield f'<circle class="middle{mine}" cx="{place(middle)}" cy="{row}" r="4"/>'
        beyond = " \u203a" if middle > MOST else ""
        yield (f'<text class="{mine[1:]}" x="{x + WIDTH}" y="{row + 4}" '
               f'text-anchor="end">{middle:.2f}{beyond}</text>')


def picture(done):
    """All panels, from left to right; a line is as high as its highest."""
    pictured = [(case, list(ratios(results))) for case, results in done
                if case.pictured]
    bottom, lines = GAP, []
    for i in range(0, len(pictured), COLUMNS):
        some = pictured[i:i + COLUMNS]
        for column, (case, rows) in enumerate(some):
            lines += panel(case, rows, GAP + column * (WIDTH + GAP), bottom)
        bottom += TITLE + ROW * max(len(rows) for _, rows in some) + GAP
    width, height = GAP + COLUMNS * (WIDTH + GAP), bottom
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        "<title>Processor time of the servers, as a ratio to epoll by hand</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>', *lines,
        "</svg>", ""])


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def of_each(done, programs, cell):
    """A row for each work, a column for each program."""
    for case, results in done:
        yield [f"`{case.name}`"] + [cell(case, results, p) if p in results else ""
                                    for p in programs]


def ratio_cell(_, results, program):
    low, middle, high = dict(ratios(results))[program]
    few = "" if results[program].is_calm() else " ~"
    return f"{middle:.2f}{few} ({low:.2f} to {high:.2f})"


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def calls_cell(_, results, program):
    return number(results[program].calls, 2)


def instructions_cell(_, results, program):
    return number(results[program].instructions, 0)


def conditions(done):
    for case, results in done:
        all_slices = sum(len(r.calm) + len(r.disturbed) for r in results.values())
        disturbed = sum(len(r.disturbed) for r in results.values())
        cost = plaitbench.quartiles(next(iter(results.values())).costs())[1]
        loads = [r.load() for r in results.values()]
        yield [f"`{case.name}`", case.about, f"{cost:,.0f}",
               f"{min(loads):.0%} to {max(loads):.0%}" if case.load else "",
               f"{disturbed} of {all_slices}"]


def first_line(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, text=True,
                              check=False).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "?"


def model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()


def machine():
    cc = os.environ.get("CC", "cc").split()
    return (f"{datetime.date.today():%d %B %Y}; {model()}, "
            f"{len(os.sched_getaffinity(0))} processors; {platform.system()} "
            f"{platform.release()}; {first_line(*cc, '--version')}; "
            f"{' '.join(platform.libc_ver())}")


def bytes_cell(_, results, program):
    return number(results[program].costs()[0], 0)


def company(done):
    results = [r for _, rs in done for r in rs.values()]
    disturbed = sum(len(r.disturbed) for r in results)
    if not disturbed:
        return "Nothing else ran on the machine."
    slices = disturbed + sum(len(r.calm) for r in results)
    return ("The machine was shared: others ran on the servers' processor in "
            f"{disturbed:,} of {slices:,} slices.")


def document(done, programs, missing, seed):
    weighed = [d for d in done if d[0].unit == "bytes"]
    done = [d for d in done if d[0].unit != "bytes"]
    head = ["work"] + [p.name for p in programs]
    yield from [
        "# plait next to other libraries", "",
        "`make record-bench` has written this page.  `make bench` does the same "
        "on your machine, and leaves BENCH.md and bench.svg in `build/bench/`.", "",
        f"Measured on {machine()}; seed {seed}.  {company(done)}", "",
        "![ratios, a panel for each work](bench.svg)", "",
        "## Processor time", "",
        "Processor time of the server for one operation, user and system "
        "together, divided by that of the server that is written by hand on "
        "epoll: the median, and in brackets the quartiles of the slices.  A `~` "
        "marks a server that had fewer than three undisturbed slices; then the "
        "disturbed slices count, too.", "",
        "The clients are the same for all servers, and the buffers of sockets are "
        "those that the kernel chooses.  In `bulk` the client limits what is under "
        "way: without a limit those buffers sometimes grow beyond the processor's "
        "cache and sometimes do not, and the same server took twice as long in one "
        "run as in the next.", ""]
    yield from table(head, of_each(done, programs, ratio_cell))
    if any(r.calls is not None for _, rs in done for r in rs.values()):
        yield from ["## System calls of one operation", ""]
        yield from table(head, of_each(done, programs, calls_cell))
    if any(r.instructions is not None for _, rs in done for r in rs.values()):
        yield from ["## Instructions of one operation, in user space", ""]
        yield from table(head, of_each(done, programs, instructions_cell))
    if weighed:
        yield from ["## Memory, in bytes", ""]
        yield from table(head, of_each(weighed, programs, bytes_cell))
    yield from ["## The works, and how they were measured", ""]
    yield from table(["work", "one operation", "ns by hand", "load's processor",
                      "disturbed slices"], conditions(done))
    if missing:
        yield from ["Left out, because it is not installed: "
                    + ", ".join(p.name for p in missing) + ".", ""]


def write(directory, done, missing, seed):
    programs = []
    for _, results in done:
        programs += [p for p in results if p not in programs]
    os.makedirs(directory, exist_ok=True)
    for name, text in (("BENCH.md", "\n".join(document(done, programs, missing, seed))),
                       ("bench.svg", picture(done))):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
            f.write(text)
    print(f"written: {directory}/BENCH.md, {directory}/bench.svg")
