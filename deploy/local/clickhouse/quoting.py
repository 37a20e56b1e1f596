"""Strings and names as SQL writes them."""


def quote(text: str) -> str:
    """``text`` as a SQL string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_name(text: str) -> str:
    """``text`` as a SQL identifier."""
    escaped = text.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def unquote_name(text: str) -> str:
    """The identifier that ``text`` writes, quoted or not."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in '`"':
        return text[1:-1].replace("\\" + text[0], text[0]).replace("\\\\", "\\")
    return text
