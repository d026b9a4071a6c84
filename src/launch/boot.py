# Runs first in the worker's __main__: load the shared object by its path and hand over to it.
# Imports nothing that Python's own start has not imported, and leaves no name behind, so that
# __main__ is as empty as an application expects.
def boot():
    import _imp
    import sys
    from _frozen_importlib import ModuleSpec

    del globals()["boot"]
    # python -c puts the working directory first; the worker puts --app-dir there.
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    core_path, control = sys.argv[1:]
    spec = ModuleSpec("lowmem_serve._core", None, origin=core_path)
    core = _imp.create_dynamic(spec)
    _imp.exec_dynamic(core)
    # It can exist once in a process: a later `import lowmem_serve._core` finds this one.
    sys.modules[spec.name] = core
    sys.exit(core.main(int(control)))


boot()
