// Takes the addresses of sponsors out of package-lock.json, which installing does not need.
const fs = require('node:fs');

const path = 'package-lock.json';
const lock = JSON.parse(fs.readFileSync(path, 'utf8'));
for (const each of Object.values(lock.packages)) delete each.funding;
fs.writeFileSync(path, JSON.stringify(lock, null, 2) + '\n');
