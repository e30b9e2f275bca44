"""The platform's pages in a real browser, as a person uses them; pictures of what was seen are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_platform import ROOT, DockerPlatform
from playwright.sync_api import Page, expect, sync_playwright
from two_runtimes import Both, await_ready

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("platform")]
RUN_KEY = "from-the-browser"
RUN_SECONDS = 180


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Debian's chromium."""
    browser_path = shutil.which("chromium")
    assert browser_path, "no chromium on the PATH: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        yield context.new_page()
        browser.close()


@pytest.fixture(scope="module")
def pictures() -> Path:
    """Where the screenshots go."""
    folder = Path(os.environ.get("SCREENSHOTS", ROOT / ".uv" / "tmp" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_batch_is_triggered_with_a_parameter_and_turns_green(
    stack: DockerPlatform, first: Both, page: Page, pictures: Path
) -> None:
    page.goto(stack.airflow)
    page.fill("#username", "admin")
    page.fill("#password", stack.secret("AIRFLOW_ADMIN_PASSWORD"))
    page.get_by_role("button", name="Sign In").or_(page.locator("input[type=submit]")).first.click()
    page.goto(f"{stack.airflow}/dags/batch_serving_pipeline")
    page.screenshot(path=pictures / "airflow-dag.png")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("[name='element_run_key']").fill(RUN_KEY)
    expect(dialog.get_by_text("Unpause batch_serving_pipeline on trigger")).to_be_visible()  # it is ticked
    page.screenshot(path=pictures / "airflow-trigger.png")
    dialog.get_by_role("button", name="Trigger").last.click()
    with stack.api() as api:
        run_id = api.last_run("batch_serving_pipeline")
        assert api.await_run("batch_serving_pipeline", run_id, lambda _: None) == "success"
        api.pause("batch_serving_pipeline")
        scored = api.result("batch_serving_pipeline", run_id, "batch_prediction_task", part=0)
    page.goto(f"{stack.airflow}/dags/batch_serving_pipeline/runs/{run_id}")
    expect(page.get_by_text("Success").first).to_be_visible(timeout=RUN_SECONDS * 1000)
    page.screenshot(path=pictures / "airflow-green.png")
    assert scored["output"].endswith(f"/{RUN_KEY}")


def test_the_service_answers_from_its_page(stack: DockerPlatform, first: Both, page: Page, pictures: Path) -> None:
    await_ready(stack)
    page.goto(f"{stack.online}/")
    operation = page.locator(".opblock-post", has_text="/inference").first
    execute = operation.get_by_role("button", name="Execute")  # the page is in its try-it-out mode from the start
    if not execute.is_visible():
        operation.locator(".opblock-summary").click()
    execute.click()
    answer = operation.locator(".live-responses-table td.response-col_description:not(.col_header)").first
    expect(answer).to_contain_text("prediction")
    expect(operation.locator(".live-responses-table td.response-col_status:not(.col_header)").first).to_contain_text(
        "200"
    )
    page.screenshot(path=pictures / "service-answer.png", full_page=True)


def test_mlflow_shows_the_champion_and_its_plots(
    stack: DockerPlatform, first: Both, page: Page, pictures: Path
) -> None:
    page.goto(f"{stack.mlflow}/#/models/ranker")
    expect(page.get_by_text("champion").first).to_be_visible()
    page.screenshot(path=pictures / "mlflow-champion.png")
    run = first.docker["training_pipeline"]["model_training_task"]["mlflow_run"]
    page.goto(f"{stack.mlflow}/#/experiments/1/runs/{run}/artifacts")
    page.get_by_text("plots").first.click()
    page.get_by_text(".png").first.click()
    expect(page.locator("img[src*='blob:'], img[alt*='png'], .image-outer-container").first).to_be_visible()
    page.screenshot(path=pictures / "mlflow-plots.png")
