"""The machine of a call: the table (`machine.py`), the record it carries (`record.py`), its regions, and one module a state.

Everything here is pure: no I/O, no clock, no asyncio. Events carry their time; effects are data.
"""

from callbot.states.machine import TABLE, CallMachine, IllegalEventError, diagram
from callbot.states.record import CallRecord, State, Step, Trigger

__all__ = ["TABLE", "CallMachine", "CallRecord", "IllegalEventError", "State", "Step", "Trigger", "diagram"]
