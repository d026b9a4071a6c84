"""The parts of benches/compare.py.

environment   the venv, the packages and the load generator
machine       what the figures were measured on
apart         the driver's own copy of Python, so that it does not share the servers' pages
servers       each server's command line
floors        programs that do a row's system calls and nothing else
workloads     each application and the request made to it
serving       one running server: started, ready, ended with its whole tree
load          one run of load
generators    what makes it: wrk, h2load, a WebSocket client
stalls        connections that get no answers while others do
connections   many idle connections
sample        one measurement of one server with one workload
rounds        all of them, interleaved
summary       medians, spread and ratios
document      everything that was found out, and its JSON
report        Markdown, which is also what the terminal shows
plot          memory against rate, as SVG
labels        where the names in it go
"""
