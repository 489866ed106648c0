"""Speed as ratios within one run: `python -m tests.benchmarks`. Pytest skips it.

Every module here without a leading underscore is one benchmark; it defines
`measure() -> Iterable[Result]`. Name some to run only them: `python -m tests.benchmarks dispatch_rate`.
"""
