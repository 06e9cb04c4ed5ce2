"""`understudy weights`: which published weights there are, and fetching them once their licence is accepted."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time

from understudy_backend.weights.download import DownloadError
from understudy_backend.weights.fetching import Plan, fetch, plan
from understudy_backend.weights.locations import weights_root
from understudy_backend.weights.published import PUBLISHED, PublishedSet, find_published

EVERY = 0.25
"""Seconds between two reports of progress."""


def add_options(command: argparse.ArgumentParser) -> None:
    """The command's own."""
    ways = command.add_subparsers(metavar="list | get")
    command.set_defaults(do=show)
    listing = ways.add_parser("list", help="which sets there are, for which method, and whether they are here")
    listing.set_defaults(do=show)
    getting = ways.add_parser("get", help="show a set's licence and, once it is accepted, fetch the set")
    getting.set_defaults(do=get)
    getting.add_argument("name", help="of a set, as the list has it")
    getting.add_argument("--accept-licence", action="store_true", help="you have read the licence and accept it")
    getting.add_argument("--json", action="store_true", help="tell the progress as one JSON object a line")
    getting.add_argument("--with-parent", action="store_true", help="end when standard input closes")


def show(options: argparse.Namespace) -> int:
    """`understudy weights list`."""
    print(f"weights in {weights_root()}")
    for each in PUBLISHED:
        state = "here" if each.present else "by hand" if each.by_hand else "not here"
        print(f"\n{each.name:<26} {state:<9} {_size(each.megabytes):>8}  {each.title}")
        print(f"    for {', '.join(each.methods) or 'training'}; licence: {each.licence}")
        print(f"    {each.how_by_hand}" if each.by_hand and not each.present else f"    {each.page}")
    return 0


def get(options: argparse.Namespace) -> int:
    """`understudy weights get`."""
    wanted = find_published(options.name)
    if wanted is None:
        known = ", ".join(each.name for each in PUBLISHED)
        raise ValueError(f"there is no set {options.name!r}: choose from {known}")
    if wanted.present:
        print(f"{wanted.name} is here already, in {wanted.place}")
        return 0
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        planned = plan(wanted)
        if not options.json:
            _tell(wanted, planned)
        if not options.accept_licence and not _accepted():
            print("understudy: nothing was fetched, for the licence was not accepted", file=sys.stderr)
            return 1
        reporter = _Reporter(as_json=options.json)
        fetch(wanted, planned, reporter.report)
        reporter.end()
    except DownloadError as error:
        print(f"understudy: {error}", file=sys.stderr)
        return 1
    if not options.json:
        print(f"{wanted.name} is in {wanted.place}")
    return 0


def _tell(wanted: PublishedSet, planned: Plan) -> None:
    print(f"{wanted.title}, {_size(planned.bytes / 1e6 or wanted.megabytes)}, into {wanted.place}")
    print(f"from {wanted.page}")
    print(f"licence: {wanted.licence}\n    {wanted.licence_page}")
    for said in planned.licences:
        print(f"    the source says of {said}")


def _accepted() -> bool:
    if not sys.stdin.isatty():
        raise ValueError("read the licence, and say --accept-licence if you accept it")
    return input("Do you accept the licence? [y/N] ").strip().lower() in ("y", "yes")


class _Reporter:
    """Tells how far it is, a few times a second: one line that changes in a terminal, else a line at a time."""

    def __init__(self, *, as_json: bool) -> None:
        self._json, self._told, self._line = as_json, 0.0, False

    def report(self, done: int, total: int, name: str) -> None:
        now = time.monotonic()
        if now - self._told < EVERY and done != total:
            return
        self._told = now
        if self._json:
            print(json.dumps({"done": done, "total": total, "file": name}), flush=True)
        elif sys.stdout.isatty():
            of = f" of {_size(total / 1e6)}" if total else ""
            print(f"\r{_size(done / 1e6)}{of}  {name:<50}", end="", flush=True)
            self._line = True

    def end(self) -> None:
        if self._line:
            print()


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(130)
