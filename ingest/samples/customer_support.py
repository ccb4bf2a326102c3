"""A support conversation: each turn finds out what is wanted, looks things up, and answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.samples.steps import ModelCall, Step, ToolCall, VectorSearch

AGENT, CLASSIFIER = "gpt-4o", "gpt-4o-mini"


@dataclass(frozen=True)
class Turn:
    """What the customer says and what becomes of it."""

    says: str
    intent: str
    tool: str
    arguments: dict[str, Any]
    found: dict[str, Any]
    answer: str
    article: str = "help/contact.md"
    tool_status: int = 200
    model_status: int = 200


@dataclass(frozen=True)
class Conversation:
    """A customer with one concern."""

    turns: tuple[Turn, ...]
    closes_ticket: bool = field(default=True)


PARCEL = Turn(
    says="Where is my parcel? Order 88-1402.",
    intent="order_status",
    tool="get_order",
    arguments={"order": "88-1402"},
    found={"state": "in transit", "carrier": "DHL", "expected": "tomorrow"},
    answer="It is with the carrier and should arrive tomorrow.",
    article="help/shipping.md",
)
ADDRESS = Turn(
    says="I moved. Can it still go to Uferweg 3 in Köln?",
    intent="change_address",
    tool="update_address",
    arguments={"order": "88-1402", "street": "Uferweg 3", "city": "Köln"},
    found={"accepted": True},
    answer="Done, the carrier has the new address.",
    article="help/shipping.md",
)
REFUND = Turn(
    says="The kettle arrived broken, I would like my money back.",
    intent="refund",
    tool="create_refund",
    arguments={"order": "88-1377", "reason": "damaged"},
    found={"refund": "R-5512", "amount_cents": 4_990, "currency": "EUR"},
    answer="I am sorry about that. 49.90 EUR are on their way back to your card.",
    article="help/refunds.md",
)
REFUND_FAILS = Turn(
    says="I was charged twice for the same order.",
    intent="billing",
    tool="get_payments",
    arguments={"order": "88-1391"},
    found={"status": "error", "message": "the payment provider does not answer"},
    answer="I cannot see the payments right now. A colleague will write to you today.",
    article="help/billing.md",
    tool_status=503,
)
INVOICE = Turn(
    says="And the invoice for my company, please.",
    intent="invoice",
    tool="send_invoice",
    arguments={"order": "88-1402", "format": "pdf"},
    found={"sent": True},
    answer="The invoice is in your mailbox.",
    article="help/invoices.md",
)
GOES_SILENT = Turn(
    says="Which of your grinders fits my machine?",
    intent="advice",
    tool="search_products",
    arguments={"query": "grinder", "fits": "Linea Mini"},
    found={"products": ["G-200", "G-350"]},
    answer="The server had an error while processing your request.",
    article="help/grinders.md",
    model_status=500,
)

CONVERSATIONS = (
    Conversation((PARCEL, ADDRESS, INVOICE)),
    Conversation((REFUND, INVOICE)),
    Conversation((REFUND_FAILS, PARCEL)),
    Conversation((PARCEL, GOES_SILENT), closes_ticket=False),
)


def support(conversation: Conversation) -> Iterator[Step]:
    """All turns, then the ticket is closed; a conversation that broke off keeps its ticket open."""
    for turn in conversation.turns:
        yield from _answer(turn)
    if conversation.closes_ticket:
        yield ModelCall(
            path="/support/close/summary",
            seconds=1.3,
            model=CLASSIFIER,
            prompt="Summarise this conversation in one line for the ticket.",
            reply=f"{conversation.turns[0].intent}: {conversation.turns[-1].answer}",
            thread=True,
        )
        yield ToolCall(
            path="/support/close/ticket",
            seconds=0.2,
            tool="close_ticket",
            arguments={"tags": [turn.intent for turn in conversation.turns]},
            result={"closed": True},
        )


def _answer(turn: Turn) -> Iterator[Step]:
    yield ModelCall(
        path="/support/turn/classify",
        seconds=0.7,
        model=CLASSIFIER,
        prompt=f"Name the intent of: {turn.says}",
        reply=turn.intent,
        context_tokens=350,
        cached=True,
    )
    yield VectorSearch(
        path="/support/turn/context/knowledge",
        seconds=0.08,
        database="help_centre",
        text=turn.says,
        matches=(turn.article, "help/tone.md"),
    )
    yield ToolCall(
        path=f"/support/turn/context/{turn.tool}",
        seconds=0.5 if turn.tool_status < 400 else 5.0,
        status=turn.tool_status,
        tool=turn.tool,
        arguments=turn.arguments,
        result=turn.found,
        together=True,
    )
    yield ModelCall(
        path="/support/turn/answer",
        seconds=2.6,
        status=turn.model_status,
        model=AGENT,
        prompt=turn.says,
        reply=turn.answer,
        context_tokens=800,
        thread=True,
    )
