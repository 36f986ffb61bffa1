"""Functions as the model is told of them.

Declared explicitly with plain `parameters`: the SDK turns callables into JSON-schema parameters, with which the
extended-thinking model planned its tools as text.
"""

from google.genai import types

from callbot.gemini.capabilities import Capabilities
from callbot.tools import Tool


def declarations(tools: tuple[Tool, ...], capabilities: Capabilities) -> list[types.FunctionDeclaration]:
    """One declaration a tool; BLOCKING where the model can, so that it does not talk past the result."""
    behavior = types.Behavior.BLOCKING if capabilities.blocking_tools else None
    return [
        types.FunctionDeclaration(
            name=tool.name,
            description=tool.description,
            parameters=types.Schema.model_validate(tool.parameters) if tool.parameters else None,
            behavior=behavior,
        )
        for tool in tools
    ]
