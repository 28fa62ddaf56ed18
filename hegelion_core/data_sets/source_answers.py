"""The rejected answers of the data set from which the prompts come. They wait on the disk: they may be gigabytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from hegelion_core.data_sets.argued import last_answer
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import clean
from hegelion_core.generation.data_sets import open_data_set
from hegelion_core.spill import open_unnamed, refused

COLUMN = "rejected"
_HALF = 1 << 63
"""Ids are numbers from 0 to 2^64, SQLite's reach from -2^63."""


class RejectedAnswers:
    """The rejected answers to some prompts, by the numbers of their ids."""

    def __init__(self) -> None:
        """None is wanted yet.

        Raises:
            UserError: the temporary folder does not serve.
        """
        self.wanted = 0
        """Prompts."""
        try:
            self._table = open_unnamed("CREATE TABLE answers (prompt INTEGER PRIMARY KEY, answer BLOB)")
        except sqlite3.Error as error:
            raise refused(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._table.close()

    def want(self, prompts: Iterable[int]) -> None:
        """Say whose answers are wanted: numbers of the prompts' ids, the same ones perhaps more than once.

        Raises:
            UserError: the temporary folder does not serve.
        """
        try:
            with self._table:
                numbers = ((number - _HALF,) for number in prompts)
                self._table.executemany("INSERT OR IGNORE INTO answers (prompt) VALUES (?)", numbers)
            self.wanted = self._table.execute("SELECT count(*) FROM answers").fetchone()[0]
        except sqlite3.Error as error:
            raise refused(error) from None

    def read(self, dataset: str, split: str, revision: str | None, folder: Path, log: Callable[[str], None]) -> None:
        """Look for them; of two to one prompt the first counts.

        Args:
            dataset: hub name, or local folder or file, with prompts and a column ``rejected``: texts or conversations.
            split: of it.
            revision: of it, on the hub.
            folder: the workspace.
            log: takes a line for people.

        Raises:
            UserError: it cannot be read, or has no such column; or the temporary folder does not serve.
        """
        opened = open_data_set(dataset, split, revision, folder, (COLUMN,))
        log(f"Reading the rejected answers of {opened.name}.")
        found = 0
        try:
            with self._table:
                for prompt, told in opened.texts(COLUMN):
                    found += self._keep(prompt, told)
        except sqlite3.Error as error:
            raise refused(error) from None
        log(f"It has one for {found} of {self.wanted} prompts.")

    def get(self, number: int) -> str:
        """The answer to a prompt; empty if there is none.

        Raises:
            UserError: the temporary folder does not serve.
        """
        try:
            row = self._table.execute("SELECT answer FROM answers WHERE prompt = ?", (number - _HALF,)).fetchone()
        except sqlite3.Error as error:
            raise refused(error) from None
        answer: bytes | None = row[0] if row else None
        return "" if answer is None else answer.decode("utf-8", "surrogatepass")

    def _keep(self, prompt: str, told: object) -> int:
        """Keep an answer if it is wanted; returns how many were kept."""
        number = int(prompt_id(clean(prompt).strip())[2:], 16) - _HALF
        wanted = self._table.execute("SELECT 1 FROM answers WHERE prompt = ? AND answer IS NULL", (number,)).fetchone()
        if wanted is None or not (text := clean(last_answer(told)).strip()):
            return 0
        answer = text.encode("utf-8", "surrogatepass")
        self._table.execute("UPDATE answers SET answer = ? WHERE prompt = ?", (answer, number))
        return 1
