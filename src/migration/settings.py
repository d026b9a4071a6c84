"""Prints the settings of a configuration that is a Python program, as one JSON list."""

import ast
import json
import os
import signal
import sys

# A program that does not end must not hold up the one that asks.
signal.alarm(10)
answer = os.fdopen(os.dup(1), "w")
# What the program prints is no part of the answer.
os.dup2(2, 1)

path = sys.argv[1]
sys.path.insert(0, os.getcwd())
with open(path, encoding="utf-8") as file:
    source = file.read()
computed = {}
for statement in ast.parse(source, path).body:
    if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        try:
            ast.literal_eval(statement.value)
        except ValueError:
            names = (target.id for target in targets if isinstance(target, ast.Name))
            computed |= dict.fromkeys(names, ast.unparse(statement.value))
space = {"__name__": "__config__", "__file__": path}
exec(compile(source, path, "exec"), space)
settings = []
for name, value in space.items():
    if name.startswith("__"):
        continue
    values = list(value) if isinstance(value, list | tuple) else [value]
    plain = all(isinstance(each, str | int | float) for each in values)
    settings.append(
        {
            "name": name,
            "values": [str(each) for each in values] if plain else [],
            "computed": computed.get(name),
            "calls": callable(value),
            "other": None if plain or callable(value) or value is None else type(value).__name__,
        }
    )
json.dump(settings, answer)
