"""How late the server's event loop was, by its own metric."""

from collections import Counter
from dataclasses import dataclass, field

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_METRIC = "callbot_event_loop_lag_seconds"


@dataclass(frozen=True, slots=True)
class Lag:
    """The metric so far: how often the loop was late by at most each bound, and how much in all, in seconds."""

    under: Counter[float] = field(default_factory=Counter)
    sum_s: float = 0.0

    @classmethod
    async def so_far(cls, http: aiohttp.ClientSession | None, port: int) -> "Lag":
        """Ask the server; without `http` it is one that has no such metric."""
        if http is None:
            return cls()
        async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        samples = [sample for family in families if family.name == _METRIC for sample in family.samples]
        under: Counter[float] = Counter()
        for sample in samples:
            if sample.name.endswith("_bucket"):
                under[float(sample.labels["le"])] += int(sample.value)
        return cls(under, sum(sample.value for sample in samples if sample.name.endswith("_sum")))

    def since(self, earlier: "Lag") -> tuple[float, float]:
        """The mean, and the smallest bound that 99 % lie under, in ms; zeros when nothing was counted."""
        came = {bound: count - earlier.under[bound] for bound, count in self.under.items()}
        count = max(came.values(), default=0)
        if not count:
            return 0.0, 0.0
        p99_s = min(bound for bound, under in came.items() if under >= 0.99 * count)
        return round(1000 * (self.sum_s - earlier.sum_s) / count, 2), 1000 * p99_s
