"""The brief that the process's settings ask for: the only way from settings to a call."""

from callbot.brief import AudioPath, Brief, Generation, Limits, Patience, Prices, Transcription, Vad, Words
from callbot.settings import Settings


def brief_of(settings: Settings) -> Brief:
    """How calls are conducted by these settings, where nothing else says otherwise."""
    audio = AudioPath(
        upsampler=settings.upsampler,
        downsampler=settings.downsampler,
        playout_lead_ms=settings.playout_lead_ms,
        playout_queue_s=settings.playout_queue_s,
        mark_every_ms=settings.mark_every_ms,
        backlog_s=settings.backlog_s,
        uplink_max_message_ms=settings.uplink_max_message_ms,
    )
    return Brief(
        prompt=settings.system_instruction,
        greeting=settings.greeting,
        voice=settings.voice,
        language=settings.language,
        models=(settings.model, *settings.fallback_models),
        vad=Vad(
            settings.vad_start_sensitivity,
            settings.vad_end_sensitivity,
            settings.vad_prefix_padding_ms,
            settings.vad_silence_ms,
            settings.activity_handling,
            settings.turn_coverage,
        ),
        transcription=Transcription(settings.transcription_languages, settings.transcription_words),
        generation=Generation(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_output_tokens=settings.max_output_tokens,
            thinking_level=settings.thinking_level,
            thinking_budget=settings.thinking_budget,
            affective_dialog=settings.affective_dialog,
            proactive_audio=settings.proactive_audio,
            safety_threshold=settings.safety_threshold,
            labels=settings.labels,
            compression_trigger_tokens=settings.compression_trigger_tokens,
            compression_target_tokens=settings.compression_target_tokens,
        ),
        words=Words(apology=settings.apology, apology_language=settings.apology_language, busy=settings.busy_message),
        limits=_limits(settings),
        patience=Patience(
            twilio_silence_s=settings.twilio_silence_s,
            model_silence_s=settings.model_silence_s,
            model_probe_s=settings.model_probe_s,
            keepalive_s=settings.keepalive_s,
            progress_s=settings.progress_s,
        ),
        audio=audio,
        prices=Prices(settings.price_in_per_min, settings.price_out_per_min, settings.price_per_mtok),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        unreachable_s=settings.unreachable_s,
        greeting_timeout_s=settings.greeting_timeout_s,
        backoff_s=settings.reconnect_backoff_ms / 1000,
        backoff_max_s=settings.reconnect_backoff_max_ms / 1000,
        comfort_after_s=settings.comfort_after_s,
        first_audio_s=settings.first_audio_s,
        nudge_s=min(Limits().nudge_s, settings.first_audio_s),
        turn_gap_s=settings.turn_gap_s,
        turn_complete_s=settings.turn_complete_s,
        work_s=settings.work_s,
        speech_s=settings.speech_limit_s,
        trouble_s=settings.trouble_s,
        max_session_s=settings.max_session_s,
        go_away_margin_s=settings.go_away_margin_s,
        max_call_s=settings.max_call_s,
        caller_silence_s=settings.caller_silence_s or settings.max_call_s,  # 0 is never: the call's own limit comes first
        idle_asks=settings.idle_asks,
        idle_ask_s=settings.idle_ask_s,
        keys_s=settings.keys_s,
        hash_ends_keys=settings.hash_ends_keys,
        farewell_s=settings.farewell_s,
        drain_s=settings.farewell_s + 3.0,  # children get three seconds after the last word
        connect_timeout_s=settings.connect_timeout_s,
    )
