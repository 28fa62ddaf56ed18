"""The console's own colours: a calm dark, a calm light, and the terminal's own sixteen, whatever they are.

All of Textual's themes can be chosen in the palette, too.
"""

from __future__ import annotations

from rich.style import Style as RichStyle
from textual.style import Style
from textual.theme import Theme

DARK = Theme(
    name="hegelion-dark",
    dark=True,
    primary="#7aa2c9",
    secondary="#5f6b7a",
    accent="#e0af68",
    success="#8fb573",
    warning="#e0af68",
    error="#d9727f",
    foreground="#d5dae1",
    background="#12161c",
    surface="#161b22",
    panel="#1e252e",
    variables={
        "footer-background": "#12161c",
        "footer-key-foreground": "#7aa2c9",
        "footer-description-foreground": "#8b96a5",
        "border": "#33404f",
        "border-blurred": "#2a333f",
        "scrollbar": "#33404f",
        "scrollbar-background": "#161b22",
        "scrollbar-corner-color": "#161b22",
    },
)

LIGHT = Theme(
    name="hegelion-light",
    dark=False,
    primary="#2f5f8f",
    secondary="#8a94a0",
    accent="#a86a12",
    success="#4c7a34",
    warning="#a86a12",
    error="#b23a48",
    foreground="#242a31",
    background="#f4f2ee",
    surface="#fbfaf7",
    panel="#e9e6df",
    variables={
        "footer-background": "#f4f2ee",
        "footer-key-foreground": "#2f5f8f",
        "footer-description-foreground": "#5d6670",
        "border": "#c5c0b5",
        "border-blurred": "#d8d4ca",
        "scrollbar": "#c5c0b5",
        "scrollbar-background": "#fbfaf7",
        "scrollbar-corner-color": "#fbfaf7",
    },
)

TERMINAL = Theme(
    name="hegelion-terminal",
    ansi=True,
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_yellow",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        "ansi-background": "ansi_default",
        "ansi-foreground": "ansi_default",
        "border": "ansi_bright_black",
        "border-blurred": "ansi_bright_black",
        "scrollbar": "ansi_bright_black",
        "scrollbar-hover": "ansi_bright_black",
        "scrollbar-background": "ansi_default",
        "scrollbar-background-hover": "ansi_default",
        "scrollbar-background-active": "ansi_default",
        "footer-key-foreground": "ansi_blue",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_blue",
        "input-cursor-foreground": "ansi_black",
        "input-cursor-background": "ansi_white",
        "input-selection-foreground": "ansi_black",
        "input-selection-background": "ansi_cyan",
        "screen-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_cyan",
    },
)


def rich_style(text: str) -> RichStyle:
    """A style such as ``bold $primary`` in the colours of now; what it does not name stays as it is."""
    return Style.parse(text).rich_style
