"""Tables for people and for docs/benchmarks.md, and the bars that Berth is held to."""

from catalogue import ABSENT, BASELINE, words_of
from rounds import median, paired_ratio

# Words for whether a bar is met, in the document and on a terminal.
VERDICTS = {True: ("yes", "met"), False: ("no", "MISSED"), None: ("", "also")}
# Columns of the table: heading, and how a cell is written from (peer, row).
COLUMNS = (
    ("peer", lambda peer, row: peer.title),
    ("tokens/s", lambda peer, row: f"{row['tokens_per_second']:,.0f}"),
    ("texts/s", lambda peer, row: f"{row['texts_per_second']:.1f}"),
    ("× baseline", lambda peer, row: ratio(row.get("ratio_to_baseline"))),
    ("× best of class", lambda peer, row: ratio(row.get("ratio_to_best"))),
    ("query p50 ms", lambda peer, row: f"{row['query_p50_ms']:.2f}"),
    ("p99 ms", lambda peer, row: f"{row['query_p99_ms']:.2f}"),
    ("start s", lambda peer, row: f"{row['load_seconds']:.1f}"),
    ("peak MB", lambda peer, row: "" if row["peak_mb"] is None else f"{row['peak_mb']:,.0f}"),
    ("nDCG@10", lambda peer, row: f"{row['ndcg@10']:.4f}" if "ndcg@10" in row else ""),
    ("setting", lambda peer, row: words_of(row["setting"])),
)


def ratio(value):
    return "" if value is None else f"{value:.2f}"


def add_ratios_to_best(peers, summary, measured):
    """Adds to each row its ratio to the fastest peer of its class that is not Berth."""
    for kind in {peer.kind for peer in peers}:
        best = fastest(peers, summary, kind)
        for peer in peers:
            if best and peer.kind == kind and peer.name in summary:
                summary[peer.name]["ratio_to_best"] = paired_ratio(measured[peer.name], measured[best])


def fastest(peers, summary, kind):
    """Name of the fastest peer of `kind` that is not Berth; None when there is none."""
    names = [peer.name for peer in peers if peer.kind == kind and peer.engine != "berth" and peer.name in summary]
    return max(names, key=lambda name: summary[name]["tokens_per_second"], default=None)


def bars(peers, summary, measured):
    """What Berth is held to: [{"bar", "value", "wanted", "met"}]; those that cannot be judged are left out.

    `met` is None for a ratio that is told without being a bar.
    """
    judged = []

    def bar(words, value, wanted, met):
        judged.append({"bar": words, "value": value, "wanted": wanted, "met": met})

    def speed(name, against, wanted, words):
        if name in measured and against in measured:
            value = paired_ratio(measured[name], measured[against])
            met = None if wanted is None else value >= wanted
            bar(f"{words} ({against})", round(value, 3), "no bar" if wanted is None else f"≥ {wanted}", met)

    ready_made = [peer for peer in peers if peer.ready_made]
    speed("berth-int8", BASELINE, 4.0, "int8 to sentence-transformers fp32")
    speed("berth-int8", fastest(peers, summary, "fp32"), 2.0, "int8 to the fastest fp32 peer")
    speed("berth-int8", fastest(ready_made, summary, "int8"), 1.2, "int8 to the fastest ready-made int8 peer")
    for peer in peers:
        if not peer.ready_made:
            speed("berth-int8", peer.name, None, f"int8 to {peer.title}")
    speed("berth-fp32", BASELINE, 1.8, "fp32 to sentence-transformers fp32")
    mine = summary.get("berth-int8", {})
    others = [name for name in summary if not name.startswith("berth-")]
    if mine and others:
        soonest = min(others, key=lambda name: summary[name]["query_p50_ms"])
        limit = summary[soonest]["query_p50_ms"]
        bar(f"int8 query p50 below every peer ({soonest})", round(mine["query_p50_ms"], 3), f"< {limit:.3f} ms",
            mine["query_p50_ms"] < limit)
    if "ndcg@10" in mine and "ndcg@10" in summary.get("berth-fp32", {}):
        lost = summary["berth-fp32"]["ndcg@10"] - mine["ndcg@10"]
        bar("nDCG@10 that int8 loses to fp32", round(lost, 4), "≤ 0.005", lost <= 0.005)
    return judged


def ordered(peers, summary):
    """Peers that were measured, by class and then fastest first."""
    kinds = ("fp32", "bf16", "int8")
    present = [peer for peer in peers if peer.name in summary]
    return sorted(present, key=lambda peer: (kinds.index(peer.kind), -summary[peer.name]["tokens_per_second"]))


def plain(peers, summary):
    """The table with aligned columns."""
    rows = [[name for name, _ in COLUMNS]]
    rows += [[cell(peer, summary[peer.name]) for _, cell in COLUMNS] for peer in ordered(peers, summary)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = []
    for row in rows:
        cells = [
            # Words to the left, numbers to the right.
            text.ljust(width) if column in (0, len(COLUMNS) - 1) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(peers, summary, judged, facts, failed):
    """What goes into docs/benchmarks.md."""
    lines = [
        f"{facts['date']}, {facts['cpu']}, {len(facts['cores'])} cores. {facts['texts']} SciFact documents cut at 256 tokens"
        f" ({facts['tokens']:,} tokens), {facts['rounds']} alternating rounds, medians; ratios are medians of the ratios"
        " within a round. Queries have 10 tokens and come one at a time.",
        "",
        "| " + " | ".join(name for name, _ in COLUMNS) + " |",
        "| --- |" + " --- |" * (len(COLUMNS) - 1),
    ]
    for peer in ordered(peers, summary):
        cells = [cell(peer, summary[peer.name]) for _, cell in COLUMNS]
        if peer.engine == "berth":
            cells[0] = f"**{cells[0]}**"
        lines.append("| " + " | ".join(cells) + " |")
    if judged:
        lines += ["", "| bar | measured | wanted | met |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {bar['bar']} | {bar['value']} | {bar['wanted']} | {VERDICTS[bar['met']][0]} |" for bar in judged
        ]
    notes = [f"{peer.title}: {peer.note}." for peer in ordered(peers, summary) if peer.note]
    notes += [f"Not run: {name}: {reason}." for name, reason in {**failed, **ABSENT}.items()]
    versions = "; ".join(
        f"{name}: " + ", ".join(f"{package} {version}" for package, version in packages.items())
        for name, packages in facts["versions"].items()
    )
    lines += ["", *(f"- {note}" for note in notes), f"- Versions. {versions}."]
    return "\n".join(lines) + "\n"


def verdicts(judged):
    """The bars for a terminal."""
    return "\n".join(
        f"  {VERDICTS[bar['met']][1]:6}  {bar['bar']}: {bar['value']} (wanted {bar['wanted']})" for bar in judged
    )


def cpu_time_ratios(peers, measured):
    """Tokens a processor second of Berth int8 against each int8 peer: steadier than wall time on a busy machine."""
    if "berth-int8" not in measured:
        return {}
    return {
        peer.name: median(
            theirs["cpu_seconds"] / mine["cpu_seconds"]
            for mine, theirs in zip(measured["berth-int8"], measured[peer.name])
            if mine["cpu_seconds"] > 0
        )
        for peer in peers
        if peer.name in measured and peer.name != "berth-int8" and peer.kind == "int8"
    }
