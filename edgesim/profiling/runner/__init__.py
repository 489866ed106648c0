"""The stand-alone runner: times the graphs of a bundle on the machine that it is started on.

A bundle carries a copy of this folder, so it imports nothing but the standard library, numpy and onnxruntime,
and runs on every Python from 3.9. In the order of use:

    __main__    refuses an old Python; written so that any Python can read it
    command     one session, from the command line to the exit code
    options     what may be asked for
    reading     the bundle: manifest, checksums, names that may not leave it
    probe       a child process that says which numpy and onnxruntime are here
    host        what the machine tells about itself
    campaign    one child process per graph; every result is on disk at once
    channel     how they talk
    child       that process: one session, warm-up, repeats
    fills       the numbers that a graph is fed with
    repeats     how often, and what is made of it
    energy      joules, where the machine counts them
    timings     the file of results
    progress    what is shown on stderr
    errors      what ends it with one clear line
"""
