"""Journey stages: which step of the customer's life a touchpoint belongs to."""

from typing import Final

_DIGITAL: Final = {
    "page_view": "awareness",
    "search": "consideration",
    "product_view": "consideration",
    "add_to_cart": "purchase",
    "remove_from_cart": "consideration",
    "checkout": "purchase",
    "sign_up": "onboarding",
    "sign_in": "use",
    "help_view": "support",
    "error": "support",
    "rage_click": "support",
}
# channel -> type -> stage; a type that is not listed has no stage
STAGES: Final[dict[str, dict[str, str]]] = {
    "web": _DIGITAL,
    "app": _DIGITAL,
    "packaging": {"scan": "use", "authenticity_check": "use", "register": "onboarding"},
    "call_center": {"call": "support", "callback_promised": "support", "callback_made": "support"},
    "survey": {"sent": "feedback", "answered": "feedback"},
    "store": {"visit": "consideration", "staff_interaction": "consideration"},
    "order": {
        "placed": "purchase",
        "paid": "purchase",
        "shipped": "delivery",
        "delivered": "delivery",
        "installed": "onboarding",
        "returned": "leaving",
        "refunded": "leaving",
        "cancelled": "leaving",
    },
    "chat": {"message": "support", "closed": "support"},
    "outreach": {},
}


def stage_of(channel: str, type_: str) -> str:
    """Stage of a touchpoint, or the empty string where the type carries none."""
    return STAGES[channel].get(type_, "")
