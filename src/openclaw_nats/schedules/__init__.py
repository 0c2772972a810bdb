"""Schedules: cron jobs and timers, held by JetStream so that they fire while this process is down."""
