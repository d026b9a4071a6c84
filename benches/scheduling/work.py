"""The module that the job runners of `benches/jobs.py` import and run: an empty application, and a function that marks its time."""

from quart import Quart

from scheduling.marking import mark as mark

app = Quart(__name__)
