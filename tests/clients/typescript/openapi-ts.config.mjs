// Node.js wants the extensions of files; a frontend's bundler does not.
export default { output: { path: 'client', importFileExtension: '.js' } };
