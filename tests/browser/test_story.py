"""What an operator does in the dashboard, from the link to a redriven dead letter, at the Gateway's own address."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.world import AWAKE, Gateway, go, open_page, watch
from tests.support import jetstream
from tests.support.processes import wait_until

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]


def test_a_one_time_link_signs_in_once_and_leaves_no_trace_in_the_address(browser: Browser, world: Gateway) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.goto(world.address)
    expect(page.get_by_text("You are not signed in.")).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
    watch(page, complaints, world.gateway.url)
    link = world.link()
    page.goto(link)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert "sign-in" not in page.url
    assert page.evaluate("document.cookie") == ""  # no script can read it
    assert complaints == []
    other = browser.new_context().new_page()
    other.goto(link)
    expect(other.get_by_text("This link has been used already")).to_be_visible()
    other.context.close()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are not signed in.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("You are not signed in.")).to_be_visible()
    context.close()


def test_an_agents_tool_call_appears_live_and_leads_to_its_run(world: Gateway, context: BrowserContext) -> None:
    page = open_page(context, world, "live")
    world.turn('!call exec {"command": "echo dashboard"}\n!say done')
    row = page.get_by_role("button", name=re.compile("tool.exec.completed")).first
    expect(row).to_be_visible(timeout=AWAKE)
    row.click()
    expect(row).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_label("Event", exact=True)).to_contain_text('"specversion": "1.0"')
    expect(page.get_by_text("No route has taken this event.")).to_be_visible()
    page.get_by_role("link", name="Timeline of its run").click()
    expect(page.get_by_role("heading", name="Run")).to_be_visible()
    line = page.get_by_role("region", name="Timeline")
    expect(line.get_by_role("button", name=re.compile("^tool exec"))).to_be_visible(timeout=AWAKE)
    expect(line.get_by_role("button", name=re.compile("^model scripted-1")).first).to_be_visible()
    wait_until(lambda: line.get_by_role("button", name=re.compile("^run run")).count(), 20, "the run's own bar")
    page.close()


def test_a_route_by_form_is_checked_tried_out_saved_and_wakes_the_agent(
    world: Gateway, context: BrowserContext
) -> None:
    for number in range(3):
        world.sidecar.publish("agent.events.custom.window.kitchen", {"state": "open", "n": number})
    page = open_page(context, world, "routes")
    page.get_by_role("link", name="New route").click()
    page.get_by_label("Name").fill("windows")
    page.get_by_label("Pattern").fill("agent.events.custom.window..")
    expect(page.get_by_text("empty token")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_label("Pattern").fill("agent.events.custom.window.>")
    condition = page.get_by_label("Condition (CEL), optional")
    condition.fill("data.state ==")
    expect(condition).to_have_attribute("aria-invalid", "true")
    condition.fill("data.state == 'open'")
    page.get_by_label("Instruction, optional").fill("Say who it was.")
    page.get_by_label("How the events are shown (Jinja2), optional").fill("The {{ subject }} is {{ data.state }}.")
    page.get_by_label("Debounce").fill("1s")
    expect(page.get_by_role("button", name="Save")).to_be_enabled()
    page.get_by_role("button", name="Try it out").click()
    trial = page.get_by_role("region", name="Dry run")
    expect(trial).to_contain_text("3 of 3 events of the last 6h match and make 1 turn: about 4 turns")
    expect(trial.get_by_label("Text").first).to_contain_text("window.kitchen is open.")
    assert world.states() == dict.fromkeys(world.states(), 0)  # nothing was sent
    page.get_by_role("button", name="Save").click()
    row = page.get_by_role("row", name=re.compile("windows"))
    expect(row).to_contain_text("agent.events.custom.window.>")
    before = len(world.prompts())
    world.sidecar.publish("agent.events.custom.window.attic", {"state": "open"})
    world.sidecar.publish("agent.events.custom.window.attic", {"state": "closed"})
    wait_until(lambda: any("window.attic is open." in text for text in world.prompts()[before:]), 60, "the turn")
    world.settled(1, 60)
    expect(row.get_by_role("cell").nth(4)).to_have_text("1", timeout=AWAKE)  # delivered
    go(page, "Logs")
    line = page.get_by_role("row", name=re.compile("delivered.*windows")).first
    expect(line).to_be_visible(timeout=AWAKE)
    line.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name=re.compile(r"Delivery \d+"))).to_be_visible()
    expect(page.get_by_label("Text", exact=True)).to_contain_text("The agent.events.custom.window.attic is open.")
    page.locator("dl a.mono").click()  # its turn
    expect(page.get_by_role("heading", name="Run")).to_be_visible()
    expect(page.get_by_role("region", name="Timeline").get_by_role("button").first).to_be_visible(timeout=AWAKE)
    go(page, "Routes")
    page.get_by_role("button", name="Disable windows").click()
    expect(page.get_by_text("Route windows is disabled")).to_be_visible()
    assert world.call("GET", "/api/routes/windows")[1]["enabled"] is False
    page.get_by_role("button", name="Remove windows").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("row", name=re.compile("windows"))).to_have_count(0)
    assert world.call("GET", "/api/routes/windows")[0] == 404
    page.close()


def test_when_the_gateway_breaks_the_delivery_waits_is_shown_and_goes_out_when_it_is_back(
    world: Gateway, context: BrowserContext
) -> None:
    world.route("alarms", "agent.events.custom.alarm", "main")
    # The page is opened at the sidecar's address: at the Gateway's own it would be gone together with it.
    page = context.new_page()
    page.goto(f"{world.sidecar.url}/dashboard/#/sign-in/{world.link().rpartition('/')[2]}")
    page.get_by_role("heading", name="Overview").wait_for()
    world.gateway.stop()
    card = page.get_by_role("region", name="Parts").locator(".part", has=page.get_by_role("heading", name="Gateway"))
    expect(card.get_by_text("down")).to_be_visible(timeout=AWAKE)
    expect(card).to_contain_text("Start OpenClaw")
    expect(page.get_by_role("region", name="Verdict")).to_contain_text(re.compile(r"problems?: Gateway: "))
    world.sidecar.publish("agent.events.custom.alarm", {"text": "smoke in the cellar"})
    go(page, "Pending")
    line = page.get_by_role("button", name=re.compile("alarms"))
    expect(line).to_be_visible(timeout=AWAKE)
    line.click()
    expect(line).to_contain_text("failed", timeout=AWAKE)  # it will be tried again
    expect(page.get_by_label("Text")).to_contain_text("smoke in the cellar")
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    world.gateway.start()
    wait_until(lambda: any("smoke in the cellar" in text for text in world.prompts()), 120, "the turn")
    expect(page.get_by_text("Nothing waits: every event was sent.")).to_be_visible(timeout=60_000)
    go(page, "Overview")
    expect(page.get_by_role("region", name="Verdict")).to_have_text(
        re.compile("All is well: Gateway, Plugin"), timeout=60_000
    )
    world.call("DELETE", "/api/routes/alarms")
    page.close()


def test_what_waits_says_why_and_shows_the_text_that_it_would_send(world: Gateway, context: BrowserContext) -> None:
    world.route("slow", "agent.events.custom.slow", "main", flow={"debounce": "1h"}, template="Slowly: {{ data.n }}")
    world.sidecar.publish("agent.events.custom.slow", {"n": 17})
    page = open_page(context, world, "pending")
    line = page.get_by_role("button", name=re.compile("slow"))
    expect(line).to_contain_text("debounce", timeout=AWAKE)
    line.click()
    page.get_by_role("button", name="Show the text it would send").click()
    expect(page.get_by_label("Text")).to_contain_text("Slowly: 17")
    page.get_by_role("button", name="Drop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Drop it").click()
    expect(page.get_by_text("Nothing waits")).to_be_visible(timeout=AWAKE)
    world.call("DELETE", "/api/routes/slow")
    page.close()


def test_dead_letters_are_searched_redriven_in_bulk_and_dropped_after_a_question_that_says_how_many(
    world: Gateway, context: BrowserContext
) -> None:
    before = world.states()
    away = {"kind": "webhook", "url": "http://127.0.0.1:1/"}
    world.route("hook", "agent.events.custom.hook.>", away, retry={"attempts": 1}, flow={"concurrency": 8})
    for number in range(5):
        world.sidecar.publish(f"agent.events.custom.hook.{number}", {"room": "cellar" if number < 3 else "attic"})
    wait_until(lambda: world.states()["dead"] == 5, 60, "five dead letters")
    page = open_page(context, world, "dead")
    expect(page.get_by_text("5 deliveries")).to_be_visible()
    page.get_by_placeholder("Search route").fill("attic")
    expect(page.get_by_text("2 deliveries")).to_be_visible()
    page.get_by_role("button", name=re.compile("hook.4")).click()
    expect(page.locator("ol")).to_contain_text("Connect call failed")
    good = {"kind": "subject", "subject": "agent.events.custom.rescued"}
    world.route("hook", "agent.events.custom.hook.>", good)
    page.get_by_role("button", name="Redrive what was found …").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Redrive 2 dead letters that hold “attic”?")
    question.get_by_role("button", name="Cancel").click()
    assert world.states()["dead"] == 5
    page.get_by_role("button", name="Redrive what was found …").click()
    question.get_by_role("button", name="Redrive 2").click()
    expect(page.get_by_text("2 deliveries redriven")).to_be_visible()
    wait_until(lambda: sum("rescued" in one["subject"] for one in world.events()) == 2, 30, "the rescued events")
    page.get_by_placeholder("Search route").fill("")
    expect(page.get_by_text("3 deliveries")).to_be_visible(timeout=AWAKE)
    page.get_by_role("button", name=re.compile("hook.0")).click()
    page.get_by_role("button", name="Redrive", exact=True).click()
    question.get_by_role("button", name="Redrive it").click()
    wait_until(lambda: world.states()["dead"] == 2, 30, "one less")
    page.get_by_role("button", name="Drop all …").click()
    question.get_by_role("button", name="Drop 2").click()
    expect(page.get_by_text("No dead letters")).to_be_visible(timeout=AWAKE)
    assert world.states()["dropped"] == before["dropped"] + 2
    world.call("DELETE", "/api/routes/hook")
    page.close()


def test_a_job_and_a_timer_that_cannot_be_read_are_shown_with_the_reason_and_removed(
    world: Gateway, context: BrowserContext
) -> None:
    with ThreadPoolExecutor() as threads:  # this one has an event loop, Playwright's
        for place in ("job.damaged", "tick.timer.broken"):
            threads.submit(jetstream.publish, world.nats, f"agent.schedules.{place}", b"{}").result()
    page = open_page(context, world, "schedules")
    for name, kind, yes in (("damaged", "job", "Remove it"), ("broken", "timer", "Cancel the timer")):
        told = page.get_by_role("listitem").filter(has_text=f"The {kind} {name} can't be used by this version")
        expect(told).to_contain_text(f".{name}: ")
        told.get_by_role("button", name=f"Remove {name}").click()
        page.get_by_role("dialog").get_by_role("button", name=yes).click()
        expect(told).to_have_count(0)
    page.close()


def test_a_cron_job_and_a_timer_are_made_run_paused_changed_and_removed(
    world: Gateway, context: BrowserContext
) -> None:
    page = open_page(context, world, "schedules")
    page.get_by_role("button", name="New job").click()
    page.get_by_label("Name").fill("morning report")
    page.get_by_label("Cron expression").fill("0 9 31 2 *")
    expect(page.get_by_text("never")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    page.get_by_label("Cron expression").fill("30 8 * * MON-FRI")
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    page.get_by_label("Payload (JSON), optional").fill('{"what": "report"}')
    expect(page.get_by_text("Next:")).to_contain_text("08:30")
    page.get_by_role("button", name="Save").click()
    row = page.get_by_role("row", name=re.compile("morning report"))
    expect(row.get_by_role("cell").nth(1)).to_contain_text("08:30")
    expect(row.get_by_role("cell").nth(2)).to_contain_text("00:30")  # the same moment in the browser's zone, Berlin
    page.get_by_role("button", name="Run now: morning report").click()
    page.get_by_role("dialog").get_by_role("button", name="Run it now").click()
    expect(row.get_by_text("fired")).to_be_visible(timeout=AWAKE)
    fired: dict[str, Any] = wait_until(
        lambda: next((one for one in world.events() if one["subject"].endswith("cron.morning_report")), None),
        20,
        "the event",
    )
    assert fired["data"]["what"] == "report"
    assert fired["data"]["_cron"]["manual"] is True
    page.get_by_role("button", name="Runs of morning report").click()
    expect(page.get_by_role("region", name="Runs")).to_contain_text("by hand")
    page.get_by_role("button", name="Pause morning report").click()
    expect(row.get_by_text("paused")).to_be_visible()
    page.get_by_role("button", name="Edit morning report").click()
    page.get_by_label("Cron expression").fill("0 7 * * *")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("0 7 * * *")
    job = world.call("GET", "/api/cron/morning%20report")[1]
    assert (job["cron"], job["enabled"], job["payload"]) == ("0 7 * * *", False, {"what": "report"})
    page.get_by_role("button", name="New job").click()
    page.get_by_label("Name").fill("morning report")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_contain_text("Replace the job morning report?")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert world.call("GET", "/api/cron/morning%20report")[1]["payload"] == {"what": "report"}
    page.get_by_role("button", name="New timer").click()
    form = page.get_by_role("form", name="Timer")
    form.get_by_label("Name").fill("tea")
    form.get_by_label("Fires after").fill("soon")
    form.get_by_role("button", name="Set the timer").click()
    expect(page.get_by_text("delay must be a duration")).to_be_visible()
    form.get_by_label("Fires after").fill("5h")
    form.get_by_role("button", name="Set the timer").click()
    expect(page.get_by_role("row", name=re.compile("tea"))).to_contain_text("in 5 h")
    for name, button, yes in (
        ("tea", "Cancel tea", "Cancel the timer"),
        ("morning report", "Remove morning report", "Remove it"),
    ):
        page.get_by_role("button", name=button).click()
        page.get_by_role("dialog").get_by_role("button", name=yes).click()
        expect(page.get_by_role("row", name=re.compile(name))).to_have_count(0)
    assert world.call("GET", "/api/timers")[1]["timers"] == []
    page.close()


def test_settings_sessions_and_subjects_are_shown_without_a_secret(world: Gateway, context: BrowserContext) -> None:
    world.turn("!usage 1200 34\n!say counted")
    page = open_page(context, world, "metrics")
    row = page.get_by_role("row", name=re.compile("scripted-1"))
    expect(row).to_be_visible(timeout=AWAKE)
    expect(page.get_by_role("row", name=re.compile("agent.run_ended"))).to_be_visible()
    go(page, "Settings")
    page.get_by_placeholder("Search a setting").fill("nats.")
    setting = page.get_by_role("row", name=re.compile(r"^nats\.user"))
    expect(setting).to_contain_text("config.toml")
    content = json.dumps(page.content())
    assert "test-nats-password" not in content
    assert "test-key-0123456789" not in content
    expect(page.get_by_role("region", name="Versions")).to_contain_text("2026.9.6")
    with context.expect_page() as opened:
        page.get_by_role("link", name="Cron and timers").last.click()
    expect(opened.value.get_by_text("missed").first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("this one"))).to_have_count(1)
    page.get_by_role("button", name=re.compile("this browser")).click()
    expect(page.get_by_text("You are not signed in.")).to_be_visible()
