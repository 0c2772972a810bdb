"""The ways out to targets: the plugin's channel and the Gateway's hooks, webhooks."""
