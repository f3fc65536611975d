"""Look and behavior of the page: inline, so that it needs nothing from anywhere else."""

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f5f2; --card: #ffffff; --text: #1c1d21; --muted: #63666d; --line: #e2e0da;
  --spiking: #17788a; --analog: #cf7420; --other: #9699a1; --good: #1f7a45; --bad: #b3362c;
  --c0: #17788a; --c1: #cf7420; --c2: #6d54a3; --c3: #7d9c45; --c4: #c24d5e; --c5: #d3aa2e;
  --c6: #4a72c9; --c7: #9699a1; }
@media (prefers-color-scheme: dark) { :root {
  --page: #131519; --card: #1b1e24; --text: #e7e8ea; --muted: #a0a4ac; --line: #30343c;
  --spiking: #45b3c6; --analog: #eca052; --other: #7b808a; --good: #63c78a; --bad: #f08a80;
  --c0: #45b3c6; --c1: #eca052; --c2: #a78bda; --c3: #a9c96f; --c4: #e5808e; --c5: #e6c65c;
  --c6: #7f9fe8; --c7: #7b808a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1400px; margin: 0 auto; padding: 28px 24px 56px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; }
h2 { font-size: 18px; margin: 0 0 4px; }
p { margin: 4px 0 12px; }
ul { margin: 4px 0; padding-left: 20px; overflow-wrap: anywhere; }
.muted, .note { color: var(--muted); }
.note { font-size: 13px; }
section > p:last-child { margin-bottom: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin-top: 14px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; }
.tile b { display: block; font-size: 24px; line-height: 1.3; font-weight: 650;
  white-space: nowrap; }
.tile.main { border-color: var(--spiking); border-width: 2px; }
.tile span { display: block; font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0 8px; padding: 0;
  list-style: none; font-size: 13px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px;
  margin-right: 6px; }
svg { display: block; width: 100%; font-size: 12px; overflow: visible; }
svg text { fill: var(--text); }
svg .soft { fill: var(--muted); }
svg line { stroke: var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 4px 7px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; white-space: normal; font-weight: 600; color: var(--muted); }
th.left, td.left { text-align: left; }
td.wrap { white-space: normal; min-width: 200px; }
td.bar { min-width: 100px; width: 24%; }
table.sortable th:first-child, table.sortable td:first-child { position: sticky; left: 0;
  background: var(--card); }
tbody tr:hover { background: color-mix(in srgb, var(--line) 45%, transparent); }
tfoot td { font-weight: 650; border-bottom: 0; }
th[role=button] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \\25B2"; }
th[aria-sort=descending]::after { content: " \\25BC"; }
.good { color: var(--good); }
.bad { color: var(--bad); }
summary { cursor: pointer; margin: 8px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 6px 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.setAttribute("role", "button");
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const order = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        const by = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return up ? by : -by;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}
"""
