"""The model's side: client and socket options, model capabilities, session config, and what each failure means.

With `actors/gemini_session.py` the only place that knows google.genai.
"""
