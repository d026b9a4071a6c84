"""Processes that the application starts."""

import asyncio
import concurrent.futures
import multiprocessing
import subprocess
import sys
import time

from runtime.truth import truth


def double(number):
    return number * 2


def sleep_long():
    time.sleep(30)


@truth
async def process_by_spawn(scope):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(double, (21,))


@truth
async def process_by_fork(scope):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(double, (21,))


@truth
async def end_a_forked_process(scope):
    child = multiprocessing.get_context("fork").Process(target=sleep_long)
    child.start()
    child.terminate()
    child.join(20)
    child.kill()
    child.join()
    return child.exitcode


@truth
async def executor_of_processes(scope):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, double, 21)


@truth
async def subprocess_run(scope):
    child = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, check=True)
    return child.stdout.decode().strip()


@truth
async def signals_of_a_subprocess(scope):
    status = subprocess.check_output(["cat", "/proc/self/status"], text=True)
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return [int(lines["SigBlk"], 16), int(lines["SigIgn"], 16)]


@truth
async def subprocesses_of_asyncio(scope):
    async def upper(text):
        program = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(7)"
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, **pipes)
        output, _ = await child.communicate(text.encode())
        return [output.decode(), child.returncode]

    return await asyncio.gather(*(upper(text) for text in ("a", "b", "c")))
