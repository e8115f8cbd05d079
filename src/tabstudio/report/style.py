"""The look of every page: one stylesheet, shared by reports, notebooks and the studio."""

_TOKENS = """
:root{--ink:#1b1f24;--muted:#59636e;--paper:#f6f7f9;--card:#fff;--line:#dfe3e8;--accent:#0067a3;
--info:#0067a3;--info-bg:#eaf4fb;--warning:#8a5a00;--warning-bg:#fff6e0;--danger:#b3261e;--danger-bg:#fdecea;
--shadow:0 1px 2px rgb(0 0 0/.06),0 4px 16px rgb(0 0 0/.04)}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--muted:#9aa5b1;--paper:#0f1318;--card:#181d24;
--line:#2c343e;--accent:#6cb8ea;--info:#7cc0ee;--info-bg:#10283a;--warning:#f0c25a;--warning-bg:#2f2610;
--danger:#ff9a90;--danger-bg:#3b1714;--shadow:none}}
"""

_PAGE = """
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,.columns,footer{max-width:1400px;margin:0 auto;padding:0 28px}
header{padding-top:44px;padding-bottom:20px}
h1{font-size:2.1rem;line-height:1.15;letter-spacing:-.02em;margin:0;overflow-wrap:anywhere}
.subtitle{color:var(--muted);max-width:none;font-size:1.06rem;margin:.5rem 0 0;overflow-wrap:anywhere}
.columns{display:grid;grid-template-columns:190px minmax(0,1fr);gap:36px;align-items:start}
.columns>main:only-child{grid-column:1/-1}
nav{position:sticky;top:24px;font-size:.92rem}
nav ul{list-style:none;margin:0;padding:0;border-left:2px solid var(--line)}
nav a{display:block;padding:.32rem 0 .32rem 14px;margin-left:-2px;border-left:2px solid transparent;
color:var(--muted);text-decoration:none}
nav a:hover,nav a:focus-visible{color:var(--accent);border-color:var(--accent)}
footer{color:var(--muted);font-size:.84rem;padding-top:6px;padding-bottom:40px}
@media(max-width:860px){.columns{grid-template-columns:minmax(0,1fr);gap:18px}nav{position:static}
nav ul{display:flex;flex-wrap:wrap;gap:2px 10px;border:0}nav a{padding:.2rem .3rem;border:0;margin:0}
header,.columns,footer{padding-left:16px;padding-right:16px}section{padding:18px 16px}}
@media print{:root{--paper:#fff;--shadow:none}body{font-size:11pt}nav{display:none}.columns{display:block}
section{border:0;padding:0;break-inside:auto}figure,aside,tr{break-inside:avoid}
aside{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

_BLOCKS = """
section{background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shadow);
padding:24px 28px 26px;margin:0 0 22px;scroll-margin-top:20px}
h2{font-size:1.22rem;letter-spacing:-.01em;margin:0 0 14px}
p{margin:.6rem 0;max-width:75ch;overflow-wrap:anywhere}
.muted{color:var(--muted);font-size:.92rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:12px;margin:0 0 8px}
.facts div{background:var(--paper);border-radius:10px;padding:12px;
display:flex;flex-direction:column-reverse}
.facts dd{margin:0;font-size:1.25rem;font-weight:650;letter-spacing:-.02em;line-height:1.25;
overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.facts dt{color:var(--muted);font-size:.84rem}
.scroll{overflow-x:auto;margin:14px 0 6px}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;font-size:.9rem;min-width:min(100%,420px)}
caption{caption-side:top;text-align:left;color:var(--muted);padding:0 0 8px}
th,td{padding:.42rem .8rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{color:var(--muted);font-weight:600;font-size:.82rem;white-space:nowrap;border-bottom-width:2px}
td{max-width:30rem;overflow-wrap:break-word}
tbody tr:hover{background:var(--paper)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
figure{margin:16px 0 4px}
.card{background:#fff;border-radius:10px;padding:10px;overflow-x:auto}
.card svg,.card img{display:block;max-width:100%;height:auto;margin:0 auto}
@media(max-width:860px){table{width:max-content}td{max-width:18rem}
.card svg,.card img{max-width:none;min-width:520px}.wide svg,.wide img{min-width:720px}}
figcaption{color:var(--muted);font-size:.9rem;margin-top:8px;max-width:80ch}
aside{display:flex;gap:14px;border-left:5px solid var(--tone);
background:var(--tint);border-radius:10px;padding:14px 18px;margin:12px 0}
aside p{margin:.15rem 0}
aside div{min-width:0}
aside>span{flex:none;width:24px;height:24px;border-radius:50%;display:grid;place-items:center;font-weight:800;
font-size:.86rem;background:var(--tone);color:var(--tint)}
aside strong{display:block;color:var(--tone)}
aside code{display:inline-block;margin-top:6px}
.info{--tone:var(--info);--tint:var(--info-bg)}
.warning{--tone:var(--warning);--tint:var(--warning-bg)}
.danger{--tone:var(--danger);--tint:var(--danger-bg);border-left-width:9px}
.danger strong{font-size:1.08rem}
code{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
background:var(--card);border:1px solid var(--line);
border-radius:6px;padding:.16rem .5rem;overflow-wrap:anywhere}
"""

CSS = _TOKENS + _PAGE + _BLOCKS
"""For a page of its own."""

NOTEBOOK_CSS = (
    _TOKENS.replace(":root", ".tabstudio")
    + ".tabstudio{color:var(--ink);font:15px/1.5 system-ui,sans-serif}.tabstudio *{box-sizing:border-box}"
    + ".tabstudio{"
    + _BLOCKS
    + "}"
)
"""For a piece of another page: every rule holds inside an element of the class `tabstudio` only."""
