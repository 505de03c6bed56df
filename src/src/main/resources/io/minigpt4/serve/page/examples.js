/** Drawn scenes of the demo model's kind, each with a question to start from. */
export const EXAMPLES = [
  { file: 'examples/scene.png', question: 'Describe this image in detail.',
    alt: 'Five shapes on light blue, among them a large yellow circle' },
  { file: 'examples/hearts.png', question: 'How many hearts are there?', alt: 'Three hearts and a cross on cream' },
  { file: 'examples/night.png', question: 'What is in the top right corner?',
    alt: 'Three stars and a white circle on black' },
  { file: 'examples/crosses.png', question: 'Where is the white square?', alt: 'Six shapes on grey, three of them crosses' },
];
