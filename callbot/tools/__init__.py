"""What the model may do in a call. An allow-list: what is not here is answered with an error, never left unanswered.

A function gets the model's arguments, which come from a stranger's speech: it checks them, and authorises by what is known
of the call, never by what the caller claims.
"""

from callbot.tools.toolbox import Tool, Toolbox, ToolOutcome, standard_toolbox

__all__ = ["Tool", "ToolOutcome", "Toolbox", "standard_toolbox"]
