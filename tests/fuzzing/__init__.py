"""Calls of the C++ entry points with malformed arguments, drawn at random from a seed.

A call is drawn as plain data, which prints as it was drawn and needs no memory:

    draw_call(random.Random("0:17"))     calls.py; its tensors are tensors.py's
    attempt(call)                        attempt.py: makes the arguments, calls, judges what came
    fuzz(seed, indices, at)              loop.py: many of them; summary.py counts
    supervised(command, ...)             supervise.py: in a process that may crash or hang

tests/fuzz_ops.py is the command; records/ has what long runs came to.

Why not libFuzzer, by atheris: it is guided by counters that clang alone compiles into C++ (g++ has
trace-pc), and its AddressSanitizer is clang's. Bytes that a fuzzer mutates blindly end at the ops'
schema; what is drawn here is right but for a thing or two, and so gets behind it.
"""
