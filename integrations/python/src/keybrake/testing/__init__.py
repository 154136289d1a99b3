"""For tests of your own governance: the real proxy before a sandbox that counts what was executed.

No mock: the `keybrake` program runs as it does in production, and a strict fake of Stripe, Twilio and
Resend stands where the vendors would. Whatever the code under test believes that it did, the sandbox
says what was charged.

`plugin.py` has the pytest fixtures, `server.py` what they start, `vendor.py` what the vendor says.
"""

from .server import KeybrakeServer, ProgramNotFound
from .vendor import Execution, Vendor

__all__ = ["Execution", "KeybrakeServer", "ProgramNotFound", "Vendor"]
