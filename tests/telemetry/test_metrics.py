from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from callbot.telemetry.metrics import MAX_KINDS, Metrics


@pytest.mark.parametrize(
    ("happens", "sample", "labels", "value"),
    [
        (lambda m: m.call_started(), "callbot_calls_started_total", {}, 1),
        (lambda m: m.call_ended("completed", 21.5), "callbot_calls_total", {"outcome": "completed"}, 1),
        (lambda m: m.call_ended("completed", 21.5), "callbot_call_duration_seconds_sum", {}, 21.5),
        (lambda m: m.turn_heard(0.7), "callbot_turn_latency_seconds_bucket", {"le": "0.8"}, 1),
        (lambda m: m.turn_heard(0.7), "callbot_turn_latency_seconds_bucket", {"le": "0.65"}, 0),
        (lambda m: m.turn_heard(None), "callbot_turns_total", {}, 1),
        (lambda m: m.turn_heard(None), "callbot_turn_latency_seconds_count", {}, 0),
        (lambda m: m.barge_in(), "callbot_barge_ins_total", {}, 1),
        (lambda m: m.session_opened("resume", 0.3), "callbot_sessions_opened_total", {"plan": "resume"}, 1),
        (lambda m: m.session_opened("resume", 0.3), "callbot_session_setup_seconds_sum", {}, 0.3),
        (lambda m: m.session_lost("link_lost"), "callbot_sessions_lost_total", {"cause": "link_lost"}, 1),
        (lambda m: m.recovered(0.34), "callbot_reconnect_seconds_count", {}, 1),
        (lambda m: m.stream_fault("late_media"), "callbot_stream_faults_total", {"kind": "late_media"}, 1),
        (lambda m: m.tokens_used("prompt", 900), "callbot_tokens_total", {"kind": "prompt"}, 900),
        (lambda m: m.tokens_used("thoughts", 434), "callbot_tokens_total", {"kind": "thoughts"}, 434),
        (lambda m: m.text_turn(), "callbot_text_turns_total", {}, 1),
        (lambda m: m.audio(1070, 543, 500), "callbot_frames_total", {"direction": "in"}, 1070),
        (lambda m: m.audio(1070, 543, 500), "callbot_frames_total", {"direction": "out"}, 543),
        (lambda m: m.audio(1070, 543, 500), "callbot_caller_dropped_seconds_total", {}, 0.5),
        (lambda m: m.cost(0.07), "callbot_model_cost_usd_total", {}, 0.07),
        (lambda m: m.queued(1500, 240), "callbot_queued_seconds_sum", {"queue": "uplink"}, 1.5),
        (lambda m: m.queued(1500, 240), "callbot_queued_seconds_bucket", {"queue": "playout", "le": "0.4"}, 1),
        (lambda m: m.loop_lag(0.03), "callbot_event_loop_lag_seconds_bucket", {"le": "0.05"}, 1),
    ],
)
def test_what_happens_is_counted(happens: Callable[[Metrics], None], sample: str, labels: dict[str, str], value: float) -> None:
    metrics = Metrics()

    happens(metrics)

    assert metrics.registry.get_sample_value(sample, labels) == value


def test_two_processes_worth_of_metrics_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()

    first.barge_in()

    assert second.registry.get_sample_value("callbot_barge_ins_total") == 0


def test_metrics_live_beside_others_in_a_given_registry() -> None:
    registry = CollectorRegistry()

    Metrics(registry).barge_in()

    assert b"callbot_barge_ins_total 1.0" in generate_latest(registry)


def test_no_peer_can_fill_the_registry_with_kinds() -> None:
    metrics = Metrics()

    for number in range(MAX_KINDS + 25):
        metrics.stream_fault(f"fault {number}")
    metrics.stream_fault("fault 0")

    assert metrics.registry.get_sample_value("callbot_stream_faults_total", {"kind": "other"}) == 25
    assert metrics.registry.get_sample_value("callbot_stream_faults_total", {"kind": "fault 0"}) == 2
    assert generate_latest(metrics.registry).count(b"callbot_stream_faults_total{") == MAX_KINDS + 1
