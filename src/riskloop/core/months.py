"""The months by name, in the languages of lenders' exports."""

from collections.abc import Mapping
from typing import Final

# English, German, French, Spanish, Italian, Portuguese, Dutch, Scandinavian, Polish, Russian and Turkish; no word
# means two months.
MONTHS: Final[Mapping[str, int]] = {
    name: number
    for number, names in enumerate(
        (
            "jan|january|januar|jänner|janv|janvier|ene|enero|gen|gennaio|janeiro|januari|styczeń|stycznia|sty|январь|"
            "января|янв|ocak|oca",
            "feb|february|februar|févr|fevr|février|fevrier|febrero|febbraio|fev|fevereiro|februari|luty|lutego|lut|"
            "февраль|февраля|фев|şubat|şub",
            "mar|march|märz|mrz|mär|mars|marzo|março|marco|maart|mrt|marts|marzec|marca|март|марта|мар|mart",
            "apr|april|avr|avril|abr|abril|aprile|kwiecień|kwietnia|kwi|апрель|апреля|апр|nisan|nis",
            "may|mai|mayo|mag|maggio|maio|mei|maj|maja|май|мая|mayıs",
            "jun|june|juni|juin|junio|giu|giugno|junho|czerwiec|czerwca|cze|июнь|июня|июн|haziran|haz",
            "jul|july|juli|juil|juillet|julio|lug|luglio|julho|lipiec|lipca|lip|июль|июля|июл|temmuz|tem",
            "aug|august|août|aout|ago|agosto|augustus|augusti|sierpień|sierpnia|sie|август|августа|авг|ağustos|ağu",
            "sep|sept|september|septembre|septiembre|set|settembre|setembro|wrzesień|września|wrz|сентябрь|сентября|"
            "сен|сент|eylül|eyl",
            "oct|october|okt|oktober|octobre|octubre|ott|ottobre|out|outubro|październik|października|paź|октябрь|"
            "октября|окт|ekim|eki",
            "nov|november|novembre|noviembre|novembro|listopad|listopada|lis|ноябрь|ноября|ноя|kasım|kas",
            "dec|december|dez|dezember|déc|décembre|decembre|dic|diciembre|dicembre|dezembro|des|desember|grudzień|"
            "grudnia|gru|декабрь|декабря|дек|aralık|ara",
        ),
        1,
    )
    for name in names.split("|")
}
