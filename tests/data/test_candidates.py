"""Which column `init` proposes as the target, over histories of lenders in many languages."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from riskloop.data.candidates import ask_for_target
from riskloop.data.infer import Wanted

ROWS: Final = 500

# By language: how outcomes are called, and other columns of two values or few.
TARGETS: Final = {
    "english": (
        "default|bad|BAD|target|default_flag|loan_default|is_default|defaulted|DefaultInd|charged_off|npl_flag|"
        "default.payment.next.month|SeriousDlqin2yrs|bad_flag_12m|Bankrupt?|delinquent_90|write_off|loan_status|"
        "TARGET_LABEL_BAD|Creditability|repaid|class|Risk_Flag|good_bad|PerformanceFlag|dflt_12m|ever90_12m",
        "home_owner|married|has_phone|foreign_worker|prev_default|sex|default_on_file|urban|co_signer|"
        "HasMortgage|NewExist|LowDoc|verification_status|FLAG_OWN_CAR|telephone|Credit_History|payment_plan|"
        "prior_bankruptcy|insured|HasDependents|rejected_before|class_of_worker|risk_band|marketing_flag",
    ),
    "german": (
        "Zahlungsausfall|Ausfall|kredit_ausgefallen|Ausfall_12M|Kreditausfall|ZAHLUNGSUNFÄHIG|insolvent|"
        "notleidend|Rückstand_90|Ausgefallen_JN|gekuendigt_wg_Verzug|Zahlungsstörung|Forderungsausfall",
        "Eigentum|Geschlecht|Telefon|verheiratet|Bürge|Wohneigentum|Gastarbeiter|Schufa_Eintrag|Neukunde|Auto|"
        "Frühere_Ausfälle|Restschuldversicherung|Selbstständig",
    ),
    "french": (
        "défaut|defaut_12m|impayé|IMPAYE|défaillant|en_defaut|incident_paiement|contentieux|defaillance",
        "propriétaire|sexe|marié|téléphone|caution|véhicule|nouveau_client|salarié|assurance|incidents_passés",
    ),
    "spanish": (
        "impago|incumplimiento|moroso|mora_90|default_12m|cliente_malo|en_mora|INCUMPLE|morosidad",
        "propietario|sexo|casado|telefono|avalista|vehiculo|nuevo|seguro|autonomo|mora_previa|domiciliacion",
    ),
    "italian": (
        "insolvenza|sofferenza|inadempiente|insoluto|default_12m|cattivo_pagatore|in_sofferenza|Insolvente",
        "proprietario|sesso|coniugato|telefono|garante|automobile|nuovo_cliente|assicurazione|protesti_passati",
    ),
    "portuguese": (
        "inadimplente|inadimplência|mau_pagador|atraso_90|incumprimento|calote|INADIMPLENTE_12M|mau",
        "proprietario|sexo|casado|telefone|avalista|veiculo|cliente_novo|seguro|restricao_anterior|possui_cartao",
    ),
    "dutch": (
        "wanbetaling|wanbetaler|achterstand_90|in_gebreke|niet_betaald|Wanbetaling_12m|betalingsachterstand",
        "eigenaar|geslacht|gehuwd|telefoon|borg|auto|nieuwe_klant|verzekerd|eerdere_wanbetaling|koopwoning",
    ),
    "polish": (
        "niewypłacalność|zaległość_90|niespłacony|default_12m|windykacja|zly_klient|opóźnienie_90|niesplacenie",
        "właściciel|płeć|żonaty|telefon|poręczyciel|samochód|nowy_klient|ubezpieczenie|wcześniejsze_zaległości",
    ),
    "turkish": (
        "temerrüt|temerrut_12ay|batik|BATIK_KREDI|takipte|gecikme_90|odenmedi|kötü_müşteri|TemerrutDurumu",
        "ev_sahibi|cinsiyet|evli|telefon|kefil|araba|yeni_musteri|sigorta|onceki_gecikme|memur",
    ),
    "chinese and japanese": (
        "weiyue|是否违约|yuqi_90|违约|逾期标志|shifou_yuqi|entai|延滞フラグ|saimu_furikou|デフォルト|kashidaore|huaizhang|坏账",
        "xingbie|性别|you_fang|hunyin|有房|dianhua|持家|seibetsu|kikon|jidousha|历史逾期|shifou_yihun|担保",
    ),
    "others": (
        "дефолт|просрочка_90|gagal_bayar|kredit_macet|mislighold|betalningsförsummelse|selhani|nemfizetés|연체|부도|"
        "neplatic|nợ_xấu|kredittap",
        "пол|женат|pemilik_rumah|kjønn|kön|muz|férfi|성별|gift|telefon|владелец_жилья|ny_kunde",
    ),
}  # fmt: skip
GOOD_NAMED: Final = ("Creditability", "repaid")
WRITTEN: Final = ((1, 0), ("Y", "N"), ("yes", "no"), ("1", "0"), (True, False), ("ja", "nein"))


def history(language: str, target: str, seed: int) -> pd.DataFrame:
    """Customers whose two-valued attributes have to do with their income, and perhaps a little with the outcome."""
    rng = np.random.default_rng(seed)
    income = rng.lognormal(10, 0.5, ROWS)
    late = rng.poisson(0.7, ROWS)
    bad = (rng.random(ROWS) < 1 / (1 + np.exp(3.0 - 0.7 * late + 0.5 * (np.log(income) - 10)))).astype(int)
    good = target in GOOD_NAMED
    said, other = WRITTEN[rng.integers(0, len(WRITTEN))] if rng.random() < 0.4 else (1, 0)
    columns: dict[str, Any] = {"income": income.round(2), "late": late, "amount": rng.integers(500, 30_000, ROWS)}
    for name in rng.choice(TARGETS[language][1].split("|"), rng.integers(2, 6), replace=False):
        yes, no = WRITTEN[rng.integers(0, len(WRITTEN))] if rng.random() < 0.5 else (1, 0)
        share = rng.uniform(0.03, 0.6)
        columns[str(name)] = np.where(rng.random(ROWS) < share * np.clip(income / 22_000, 0.3, 1.5), yes, no)
    names = list(columns)
    rng.shuffle(names)
    where = len(names) if rng.random() < 0.6 else int(rng.integers(0, len(names) + 1))
    names.insert(where, target)
    columns[target] = np.where((bad == 1) != good, said, other)
    return pd.DataFrame({"loan_id": 10_000 + rng.permutation(ROWS), **{name: columns[name] for name in names}})


def proposed(frame: pd.DataFrame, tmp_path: Path) -> list[str]:
    """The columns that the question names, the likeliest first."""
    path = tmp_path / "h.csv"
    frame.to_csv(path, index=False)
    return [problem.field for problem in ask_for_target(path, Wanted(""), "h.csv").details]


@pytest.mark.parametrize("language", TARGETS)
def test_the_outcome_comes_first_in_the_languages_of_lenders(language: str, tmp_path: Path) -> None:
    wrong = {}
    for target in TARGETS[language][0].split("|"):
        for seed in range(3):
            found = proposed(history(language, target, seed), tmp_path)
            if found[:1] != [target]:
                wrong[target, seed] = found
    assert wrong == {}


@pytest.mark.parametrize("language", TARGETS)
def test_a_file_of_attributes_alone_has_no_outcome(language: str, tmp_path: Path) -> None:
    frame = history(language, "t", 1).drop(columns="t")
    error = ask_for_target_of(frame, tmp_path)
    assert f"None of {tmp_path / 'h.csv'} looks like one" in error


@pytest.mark.parametrize(
    "values", [("Charged Off", "Fully Paid"), ("ausgefallen", "getilgt"), ("impagado", "pagado"), ("bad", "good")]
)
def test_words_of_the_field_say_more_than_a_name(values: tuple[str, str], tmp_path: Path) -> None:
    for seed in range(5):
        frame = history("english", "z9", seed)
        frame["z9"] = np.where(frame["z9"].astype(str).isin(["1", "Y", "yes", "True", "ja"]), *values)
        assert proposed(frame, tmp_path)[0] == "z9"


def ask_for_target_of(frame: pd.DataFrame, tmp_path: Path) -> str:
    path = tmp_path / "h.csv"
    frame.to_csv(path, index=False)
    return ask_for_target(path, Wanted(""), str(path)).message
