"""A replica as others see it: bad requests, health, metrics, the audit log, its settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab.wallet.health import Health
from lab.wallet.settings import Settings, SlowStart
from tests.wallet_case import play, wallet

pytest_plugins = ["tests.wallet_fixtures"]

GATEWAYS = '{"pix-primary": "http://a", "pix-backup": "http://b/", "ted": "http://c"}'
DIRECT = '{"pix-primary": "http://x", "pix-backup": "http://y", "ted": "http://z"}'
REQUIRED = {
    "DATABASE_URL": "postgresql://wallet@127.1.0.14/wallet",
    "GATEWAYS": GATEWAYS,
    "GATEWAYS_DIRECT": DIRECT,
    "BANK_RECORD": "http://127.1.0.12:8100/",
}


@pytest.mark.parametrize(
    "order",
    [{"amount_cents": 0}, {"amount_cents": "1"}, {"amount_cents": True}, {"payee": 1}, {"x": 1}],
)
def test_an_order_that_makes_no_sense_is_a_bad_request(
    database: str, order: dict[str, Any]
) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            assert (await here.transfer("key-1", "pix", **order))[0] == 400
            assert (await here.transfer("", "pix"))[0] == 400
            assert await here.lines() == []

    play(story())


def test_an_unknown_account_has_no_balance(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            assert (await here.get("/accounts/acc-1001/balance"))[0] == 404
            code, text = await here.get("/accounts/acc-1000/balance")
            assert code == 200
            assert json.loads(text) == {"account": "acc-1000", "balance_cents": 100_000_000}

    play(story())


def test_a_gateway_that_is_gone_is_reported_and_the_replica_stays_ready(database: str) -> None:
    async def story() -> None:
        async with wallet(database, gateways={"ted": "http://127.9.0.21:9"}) as here:
            health = here.replica.health
            await health.check(here.replica.gateways, here.replica.metrics)
            report = json.loads((await here.get("/healthz/gateways"))[1])
            assert report["gateways"] == {"pix-primary": True, "pix-backup": True, "ted": False}
            assert await here.metric('wallet_gateway_up{gateway="ted"}') == 0
            assert await here.metric('wallet_gateway_up{gateway="pix-primary"}') == 1
            seen = await here.metric('wallet_gateway_check_timestamp_seconds{gateway="ted"}')
            assert seen == pytest.approx(report["checked_at"], abs=1.0)
            assert (await here.get("/healthz/ready"))[0] == 200
            assert (await here.get("/healthz/live"))[0] == 200

    play(story())


def test_a_replica_that_stops_is_live_and_not_ready(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            here.replica.health.stopping = True
            assert (await here.get("/healthz/ready"))[0] == 503
            assert (await here.get("/healthz/live"))[0] == 200
            assert (await here.transfer())[0] == 201

    play(story())


def test_without_the_database_it_is_live_not_ready_and_answers_503(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.replica.ledger.close()
            assert (await here.get("/healthz/ready"))[0] == 503
            assert (await here.get("/healthz/live"))[0] == 200
            assert (await here.transfer())[0] == 503
            assert here.paid() == []

    play(story())


def test_with_the_defect_only_replicas_that_start_while_the_file_exists_are_slow(
    database: str, tmp_path: Path
) -> None:
    async def story() -> None:
        slow = SlowStart(tmp_path / "slow-start", 90.0)
        async with wallet(database, "slow-start", slow_start=slow) as here:
            assert (await here.get("/healthz/ready"))[0] == 200
            (tmp_path / "slow-start").touch()
            assert (await here.get("/healthz/ready"))[0] == 200
            assert not await Health(here.replica.ledger, slow).ready()
            assert await Health(here.replica.ledger, SlowStart(slow.file, 0.0)).ready()
            assert await Health(here.replica.ledger, None).ready()

    play(story())


def test_every_series_is_there_before_anything_happens(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            _, text = await here.get("/metrics")
            for gateway in ("pix-primary", "pix-backup", "ted"):
                for outcome in ("ok", "rejected", "timeout", "refused", "reset", "error"):
                    for trial in ("true", "false"):
                        labels = f'gateway="{gateway}",outcome="{outcome}",trial="{trial}"'
                        name = "wallet_gateway_call_duration_seconds_count"
                        assert f"{name}{{{labels}}} 0.0" in text
                assert f'wallet_breaker_state{{gateway="{gateway}",state="closed"}} 1.0' in text
                assert f'wallet_breaker_state{{gateway="{gateway}",state="half_open"}} 0.0' in text
                assert f'{{from="closed",gateway="{gateway}",to="open"}} 0.0' in text
            for bound in ("2.0", "5.0"):
                assert f'le="{bound}",outcome="settled",rail="pix"' in text

    play(story())


def test_what_happened_is_counted(database: str) -> None:
    async def story() -> None:
        async with wallet(database) as here:
            await here.transfer("key-1")
            await here.transfer("key-2", "ted")
            await here.balance()
            labels = 'gateway="pix-primary",outcome="settled",rail="pix"'
            assert await here.metric(f"wallet_transfers_total{{{labels}}}") == 1
            assert await here.metric("wallet_fee_revenue_cents_total") == 860
            name = "wallet_request_duration_seconds_count"
            for code, route in (
                ("201", "POST /transfers/pix"),
                ("201", "POST /transfers/ted"),
                ("200", "GET /accounts/:id/balance"),
            ):
                assert await here.metric(f'{name}{{code="{code}",route="{route}"}}') == 1

    play(story())


def test_with_the_defect_the_metrics_are_silent(database: str) -> None:
    async def story() -> None:
        async with wallet(database, "metrics-silent") as here:
            assert await here.get("/metrics") == (503, "")
            assert (await here.transfer())[0] == 201

    play(story())


def test_each_step_is_a_line_of_the_audit_log(database: str, tmp_path: Path) -> None:
    async def story() -> None:
        log = tmp_path / "audit.jsonl"
        async with wallet(database, audit_log=log) as here:
            here.moods["pix-primary"].now = "fails"
            _, body = await here.transfer()
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            assert [(line["step"], line["gateway"], line["outcome"]) for line in lines] == [
                ("received", "", ""),
                ("reserved", "", ""),
                ("sent", "pix-primary", "error"),
                ("sent", "pix-backup", "ok"),
                ("settled", "pix-backup", ""),
            ]
            for line in lines:
                assert line["end_to_end_id"] == body["end_to_end_id"]
                assert (line["id"], line["rail"]) == ("key-1", "pix")
                assert (line["pod"], line["zone"]) == ("wallet-1", "sa-east-1a")
                assert line["time"].endswith("+00:00")

    play(story())


def test_settings_have_the_defaults_of_the_contract() -> None:
    settings = Settings.read(REQUIRED)
    assert settings.gateways == {
        "pix-primary": "http://a",
        "pix-backup": "http://b",
        "ted": "http://c",
    }
    assert settings.bank_record == "http://127.1.0.12:8100"
    limits = settings.limits
    assert (limits.window, limits.minimum, limits.trials) == (20, 10, 3)
    assert (limits.failure_share, limits.slow_share) == (0.5, 0.5)
    assert (limits.slow_seconds, limits.call_limit, limits.open_seconds) == (1.0, 2.0, 10.0)
    assert settings.defects == frozenset()


def test_the_bypass_takes_the_direct_way() -> None:
    settings = Settings.read({**REQUIRED, "DEFECTS": "bypass, breaker-stuck"})
    assert settings.defects == {"bypass", "breaker-stuck"}
    assert settings.gateways == {
        "pix-primary": "http://x",
        "pix-backup": "http://y",
        "ted": "http://z",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"DEFECTS": "breaker-stock"},
        {"GATEWAYS": '{"ted": "http://c"}'},
        {"GATEWAYS": "http://c"},
        {"BREAKER_WINDOW": "many"},
    ],
)
def test_a_wrong_setting_stops_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"DEFECTS|GATEWAYS|Expecting value|many"):
        Settings.read({**REQUIRED, **wrong})
