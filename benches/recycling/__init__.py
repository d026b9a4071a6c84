"""The parts of benches/recycle.py: servers that are recycled under load by clients that count.

wire        one connection, and each way in which it can let its client down
tally       what the clients saw
clients     short exchanges: kept alive, one per connection, idle, and fresh
transfers   long ones: streamed responses, uploads, events
websocket   a WebSocket client
load        all of them at once, for some seconds
memory      a process tree, weighed again and again
servers     each server's command line
scenarios   what makes the servers recycle, and with which application
serving     one server, started and ended
trial       one server in one scenario
goals       what lowmem-serve has to reach, and why
report      Markdown and JSON
summary     one table of several JSON files
apps/       the application
"""
