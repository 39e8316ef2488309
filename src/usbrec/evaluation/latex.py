"""A sheet as a LaTeX table (package booktabs), to be put into a paper as it is."""

from __future__ import annotations

from usbrec.evaluation.tables import Sheet

_WRITTEN = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "−": "$-$", "–": "--", "\n": " ",
}  # fmt: skip


def latex(sheet: Sheet) -> str:
    """The table, its title as the caption and its note below; the first two columns are words, the others numbers."""

    def line(cells: tuple[str, ...]) -> str:
        return " & ".join(map(written, cells)) + r" \\"

    head = [r"\begin{table}", r"\centering", rf"\caption{{{written(sheet.title)}}}"]
    body = [line(sheet.columns), r"\midrule", *map(line, sheet.rows)]
    foot = [r"\bottomrule", r"\end{tabular}", *([rf"\par\smallskip\footnotesize {written(sheet.note)}"] if sheet.note else [])]
    return "\n".join([*head, rf"\begin{{tabular}}{{ll{'r' * (len(sheet.columns) - 2)}}}", r"\toprule", *body, *foot, r"\end{table}"])


def written(text: str) -> str:
    """The text with every character that means something to LaTeX escaped."""
    return "".join(_WRITTEN.get(character, character) for character in text)
