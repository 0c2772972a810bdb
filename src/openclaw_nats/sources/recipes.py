"""Ready-made routes for types of sources: where the words of the instruction are already written."""

from __future__ import annotations

from openclaw_nats.contract.sources import SourceRecipe

_ALERT = SourceRecipe(
    name="look-at-alert",
    about="look at what an alert is about",
    pattern=">",
    instruction="An alert came in. Say in two or three sentences what it is about, how serious it is, and what "
    "should be "
    "looked at first. If it says that everything is well again, say only that.",
)
_RECIPES: dict[str, list[SourceRecipe]] = {
    "github": [
        SourceRecipe(
            name="issue-triage",
            about="sort new issues",
            pattern="issues.opened",
            instruction="An issue was opened. Say in two sentences what it is about, whether it is a fault, a "
            "question or a "
            "wish, and which part of the project it concerns. Say what is missing to work on it.",
        ),
        SourceRecipe(
            name="review-summary",
            about="summarise pull requests that were opened",
            pattern="pull_request.opened",
            instruction="A pull request was opened. Summarise it in at most five sentences: what changes, why, "
            "and what a "
            "reviewer should look at.",
        ),
        SourceRecipe(
            name="failed-build",
            about="tell of workflow runs that failed",
            pattern="workflow_run.completed",
            when="data.workflow_run.conclusion == 'failure'",
            instruction="A workflow run failed. Tell me which one, on which branch and commit, and give me its link.",
        ),
    ],
    "gitlab": [
        SourceRecipe(
            name="issue-triage",
            about="sort new issues",
            pattern="issue.open",
            instruction="An issue was opened. Say in two sentences what it is about, whether it is a fault, a "
            "question or a "
            "wish, and what is missing to work on it.",
        )
    ],
    "stripe": [
        SourceRecipe(
            name="failed-payment",
            about="tell of payments that failed",
            pattern="invoice.payment_failed",
            instruction="A payment failed. Tell me which customer, which amount and currency, and the reason "
            "that is given.",
        )
    ],
    "slack": [
        SourceRecipe(
            name="answer-mention",
            about="draft an answer to a mention",
            pattern="app_mention",
            instruction="Somebody mentioned the app in Slack. Draft a short answer to the question and show it "
            "to me. Send "
            "nothing.",
        )
    ],
    "shopify": [
        SourceRecipe(
            name="new-order",
            about="tell of new orders",
            pattern="orders.create",
            instruction="An order came in. Tell me its number, what was ordered, and the total with its currency.",
        )
    ],
    "linear": [
        SourceRecipe(
            name="issue-triage",
            about="sort new issues",
            pattern="issue.create",
            instruction="An issue was created. Say in two sentences what it is about and what is missing to work "
            "on it.",
        )
    ],
    "twilio": [
        SourceRecipe(
            name="text-message",
            about="tell of text messages",
            pattern="message.received",
            instruction="A text message came in. Tell me who sent it and what it says, in one sentence.",
        )
    ],
    "healthchecks": [
        SourceRecipe(
            name="missed-check",
            about="tell of checks that went down",
            pattern="down",
            instruction="A check went down. Tell me which one, and since when.",
        )
    ],
    "uptime-kuma": [
        SourceRecipe(
            name="site-down",
            about="tell of monitors that went down",
            pattern="down",
            instruction="A monitor went down. Tell me which one, and what the reason is.",
        )
    ],
    "grafana": [_ALERT],
    "alertmanager": [_ALERT],
}


def recipes_of(kind: str) -> list[SourceRecipe]:
    """Those of a type; every type has at least one, which summarises."""
    return _RECIPES.get(kind) or [
        SourceRecipe(
            name="summary",
            about="summarise what comes",
            pattern=">",
            instruction="Say in one or two sentences what happened, and whether somebody has to do something about it.",
        )
    ]
