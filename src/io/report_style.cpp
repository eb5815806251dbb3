// The style sheet of report.html, light and dark, and the few lines that show the numbers under the pointer.
#include "io/report.h"

namespace coxswain {

const char* const kReportStyle = R"css(
:root { --paper: #fbfaf7; --card: #ffffff; --ink: #1d2433; --soft: #667085; --line: #e4e2dc; --c1: #0b62a8; --c2: #d1622b;
  --c3: #2c8a5b; --c4: #8a4fa3; --mark: #b39bc8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161d; --card: #1a2029; --ink: #e8eaee; --soft: #98a2b3; --line: #2c3440; --c1: #6cb4f2; --c2: #f29a6b;
    --c3: #6fd0a0; --c4: #c79be0; --mark: #7d6a94; }
}
* { box-sizing: border-box; }
html { background: var(--paper); color: var(--ink); font: 16px/1.55 ui-sans-serif, system-ui, "Segoe UI", "Helvetica Neue",
  Arial, sans-serif; -webkit-text-size-adjust: 100%; }
body { max-width: 1040px; margin: 0 auto; padding: 48px 28px 64px; }
header { margin-bottom: 28px; }
.eyebrow { margin: 0; color: var(--soft); font-size: 13px; letter-spacing: .12em; text-transform: uppercase; }
h1 { margin: 4px 0 6px; font: 600 34px/1.2 ui-serif, Charter, "Iowan Old Style", Georgia, "DejaVu Serif", serif; }
h2 { margin: 44px 0 12px; font: 600 21px/1.3 ui-serif, Charter, "Iowan Old Style", Georgia, "DejaVu Serif", serif; }
.status { margin: 0; color: var(--soft); }
.status b { color: var(--ink); font-weight: 600; }
.numbers { display: flex; flex-wrap: wrap; gap: 1px; margin: 0 0 28px;
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; background: var(--line); }
.numbers div { flex: 1 0 auto; padding: 14px 18px; background: var(--card); }
.numbers dt { color: var(--soft); font-size: 13px; }
.numbers dd { margin: 2px 0 0; font-size: 21px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 0 0 20px; padding: 20px 20px 12px; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 20px; }
.pair figure { margin: 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg .title { fill: var(--ink); font-weight: 600; font-size: 15px; }
svg .tick { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .axis { stroke: var(--soft); stroke-width: 1; opacity: .7; }
svg .restart { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 2 4; }
svg .strong { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .pale { fill: none; stroke-width: 1; opacity: .32; }
svg .c1 { stroke: var(--c1); } svg .c2 { stroke: var(--c2); } svg .c3 { stroke: var(--c3); }
svg .c4 { stroke: var(--c4); } svg .bar { fill: none; stroke-width: 1.5; opacity: .5; }
svg .dot { fill: var(--card); stroke-width: 2; }
.note { margin: 12px 0 0; color: var(--soft); font-size: 14px; }
table { width: 100%; border-collapse: collapse; font-size: 15px; }
th { padding: 8px 16px 8px 0; color: var(--soft); font-weight: 400; text-align: left; vertical-align: top; white-space: nowrap;
  width: 1%; }
td { padding: 8px 0; overflow-wrap: anywhere; }
tr { border-top: 1px solid var(--line); } tr:last-child { border-bottom: 1px solid var(--line); }
details { margin-top: 44px; } summary { cursor: pointer; font: 600 21px/1.3 ui-serif, Charter, Georgia, "DejaVu Serif", serif; }
pre { margin: 14px 0 0; padding: 18px 20px; border: 1px solid var(--line); border-radius: 10px; background: var(--card);
  font: 13.5px/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-x: auto; }
footer { margin-top: 44px; color: var(--soft); font-size: 13px; }
@media print { html { background: #fff; } figure { break-inside: avoid; } }
)css";

const char* const kReportScript = R"js(
for (const svg of document.querySelectorAll('svg[data-points]')) {
  const [left, right, top, bottom, first, last] = svg.dataset.frame.split(',').map(Number);
  const lines = JSON.parse(svg.dataset.points), group = svg.querySelector('.pointer');
  const [rule, text] = group.children;
  svg.addEventListener('pointerleave', () => group.setAttribute('hidden', ''));
  svg.addEventListener('pointermove', event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const want = first + (at.x - left) / (right - left) * (last - first);
    const near = lines.filter(line => line.length).map(line =>
      line.reduce((a, b) => Math.abs(b[0] - want) < Math.abs(a[0] - want) ? b : a));
    if (!near.length || at.x < left || at.x > right) return group.setAttribute('hidden', '');
    const step = near[0][0], x = left + (step - first) / (last - first) * (right - left), end = x > (left + right) / 2;
    rule.setAttribute('d', `M${x} ${top}V${bottom}`);
    text.setAttribute('x', x + (end ? -8 : 8));
    text.setAttribute('y', top + 12);
    text.setAttribute('style', `text-anchor:${end ? 'end' : 'start'};fill:var(--ink)`);
    text.textContent = `${svg.dataset.across} ${step}:  ${near.map(p => p[1]).join('  ·  ')}`;
    group.removeAttribute('hidden');
  });
}
)js";

}  // namespace coxswain
