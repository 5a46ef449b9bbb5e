"""Chooses each peer's best setting, then measures all peers in alternating rounds."""

import statistics

from catalogue import words_of
from processes import PeerFailed

# Queries and texts that are encoded before anything is timed.
WARM_QUERIES = 20
# Passes over the small sample by which settings are compared; the fastest pass counts.
TRIAL_PASSES = 2


def choose_settings(peers, starter, workload, say):
    """Tries every setting of every peer on the `trial` texts of `workload`.

    Returns {name: {"setting", "query_setting", "trials": [{"setting", "tokens_per_second"}], "query_trials"}} and
    {name: reason} of those that failed.
    """
    texts, tokens = workload["trial"], workload["trial_tokens"]
    chosen, failed = {}, {}
    for peer in peers:
        trials = []
        for setting in peer.settings:
            if len(peer.settings) == 1:
                # Nothing to choose; whether it runs at all shows in the first round.
                trials.append({"setting": setting, "tokens_per_second": None})
                continue
            try:
                with starter.start(peer, setting) as process:
                    seconds = min(process.ask(do="bulk", texts=texts)["seconds"] for _ in range(TRIAL_PASSES))
                trials.append({"setting": setting, "tokens_per_second": tokens / seconds})
            except PeerFailed as failure:
                trials.append({"setting": setting, "failed": str(failure)})
        worked = [trial for trial in trials if "failed" not in trial]
        if not worked:
            failed[peer.name] = trials[0]["failed"]
            say(f"{peer.name}: cannot run: {failed[peer.name]}")
            continue
        best = max(worked, key=lambda trial: trial["tokens_per_second"] or 0)
        query_setting, query_trials = choose_query_setting(peer, best["setting"], starter, workload)
        chosen[peer.name] = {
            "setting": best["setting"], "query_setting": query_setting, "trials": trials, "query_trials": query_trials
        }
        if len(peer.settings) > 1:
            say(f"{peer.name}: {words_of(best['setting'])} is best of {len(trials)} settings")
    return chosen, failed


def choose_query_setting(peer, bulk, starter, workload):
    """The setting under which a query comes back soonest, None where it is that of bulk work; and what was tried."""
    trials = []
    for changes in peer.queries:
        setting = {**bulk, **changes}
        try:
            with starter.start(peer, setting) as process:
                trials.append({"setting": setting, "p50_ms": quantile(query_times(process, workload), 0.5)})
        except PeerFailed as failure:
            trials.append({"setting": setting, "failed": str(failure)})
    worked = [trial for trial in trials if "failed" not in trial]
    return min(worked, key=lambda trial: trial["p50_ms"])["setting"] if worked else None, trials


def run_rounds(peers, chosen, starter, workload, rounds, say):
    """Measures `peers` `rounds` times; every other round in reverse order, so that none always follows the same one.

    `workload` has the files `warm`, `bulk`, `queries` and `tokens`, `texts` of the bulk file.
    Returns {name: [one measurement a round]} and {name: reason} of those that failed.
    """
    measured, failed = {peer.name: [] for peer in peers}, {}
    for number in range(rounds):
        order = peers[number % len(peers) :] + peers[: number % len(peers)]
        for peer in order if number % 2 == 0 else reversed(order):
            if peer.name in failed:
                continue
            try:
                result = measure(peer, chosen[peer.name], starter, workload)
            except PeerFailed as failure:
                failed[peer.name] = str(failure)
                say(f"round {number + 1}: {peer.name} failed: {failure}")
                continue
            measured[peer.name].append(result)
            say(
                f"round {number + 1}: {peer.name}: {result['tokens_per_second']:.0f} tokens/s, "
                f"query {statistics.median(result['query_ms']):.2f} ms"
            )
    return {name: results for name, results in measured.items() if results}, failed


def measure(peer, chosen, starter, workload):
    """One peer, once: load, bulk, memory, queries."""
    with starter.start(peer, chosen["setting"]) as process:
        process.ask(do="bulk", texts=workload["warm"])
        bulk = process.ask(do="bulk", texts=workload["bulk"])
        result = {
            "load_seconds": process.ready_seconds,
            "seconds": bulk["seconds"],
            "cpu_seconds": bulk["cpu_seconds"],
            "tokens_per_second": workload["tokens"] / bulk["seconds"],
            "texts_per_second": workload["texts"] / bulk["seconds"],
            "peak_mb": process.peak_mb(),
        }
        if chosen["query_setting"] is None:
            result["query_ms"] = query_times(process, workload)
    if chosen["query_setting"] is not None:
        with starter.start(peer, chosen["query_setting"]) as process:
            result["query_ms"] = query_times(process, workload)
    return result


def query_times(process, workload):
    return process.ask(do="queries", texts=workload["queries"])["ms"][WARM_QUERIES:]


def summarise(measured, baseline):
    """Medians over rounds, and ratios that are medians of the ratios within each round."""
    summary = {}
    for name, results in measured.items():
        row = {key: median(result[key] for result in results) for key in results[0] if key != "query_ms"}
        row["query_p50_ms"] = median(quantile(result["query_ms"], 0.5) for result in results)
        row["query_p99_ms"] = median(quantile(result["query_ms"], 0.99) for result in results)
        row["spread"] = spread([result["tokens_per_second"] for result in results])
        row["rounds"] = len(results)
        if baseline in measured:
            row["ratio_to_baseline"] = paired_ratio(results, measured[baseline])
        summary[name] = row
    return summary


def paired_ratio(results, others, key="tokens_per_second"):
    """Median over rounds of the ratio within a round: what disturbs the machine for a while disturbs both."""
    return statistics.median(mine[key] / theirs[key] for mine, theirs in zip(results, others))


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values):
    """Half the distance from least to most, as a share of the median."""
    return (max(values) - min(values)) / 2 / statistics.median(values)
