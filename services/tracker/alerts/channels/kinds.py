"""Every kind of channel: one module and one line each."""

from services.tracker.alerts.channels import email, pagerduty, slack_bot, slack_webhook, webhook
from services.tracker.alerts.channels.kind import Kind

KINDS: dict[str, Kind] = {
    "slack_webhook": slack_webhook.KIND,
    "slack_bot": slack_bot.KIND,
    "pagerduty": pagerduty.KIND,
    "webhook": webhook.KIND,
    "email": email.KIND,
}
