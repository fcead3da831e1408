/*
 * src/core/chat_known.c
 *
 * The known chat templates. Their texts are those of the models' own templates (model cards and
 * tokenizer_config.json of the models that are named).
 */
#include "postgres.h"

#include "core/chat.h"

#define CHATML                                                   \
	.system = "<|im_start|>system\n{content}<|im_end|>\n",       \
	.user = "<|im_start|>user\n{content}<|im_end|>\n",           \
	.assistant = "<|im_start|>assistant\n{content}<|im_end|>\n", \
	.prompt = "<|im_start|>assistant\n", .ends = {"<|im_end|>"}

#define LLAMA3                                                                                   \
	.begin = "{bos}", .user = "<|start_header_id|>user<|end_header_id|>\n\n{content}<|eot_id|>", \
	.assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n{content}<|eot_id|>",         \
	.prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n", .ends = {"<|eot_id|>"},       \
	.rules = GPT_CHAT_TRIM

#define LLAMA3_DATED                                             \
	LLAMA3, .default_system = "",                                \
			.system =                                            \
				"<|start_header_id|>system<|end_header_id|>\n\n" \
				"Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n{content}<|eot_id|>"

#define DEEPSEEK3                                                           \
	.begin = "{bos}", .system = "{content}", .user = "<｜User｜>{content}", \
	.assistant = "<｜Assistant｜>{content}<｜end▁of▁sentence｜>",           \
	.ends = {"<｜end▁of▁sentence｜>"}

static const GptChatTemplate known[] = {
	{.name = "chatml", CHATML},
	{.name = "qwen2", CHATML, .default_system = "You are a helpful assistant."},
	{.name = "qwen2.5",
	 CHATML,
	 .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
	{.name = "qwen3",
	 CHATML,
	 .no_think = "<think>\n\n</think>\n\n",
	 .rules = GPT_CHAT_FORGET | GPT_CHAT_THINK_LAST},
	{.name = "qwen3-thinking",
	 .system = "<|im_start|>system\n{content}<|im_end|>\n",
	 .user = "<|im_start|>user\n{content}<|im_end|>\n",
	 .assistant = "<|im_start|>assistant\n{content}<|im_end|>\n",
	 .prompt = "<|im_start|>assistant\n<think>\n",
	 .ends = {"<|im_end|>"},
	 .rules = GPT_CHAT_FORGET | GPT_CHAT_THINK_LAST},
	{.name = "smollm2",
	 CHATML,
	 .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
	{.name = "smollm3",
	 .system = "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\n"
			   "Today Date: {date}\nReasoning Mode: {reasoning}\n\n## Custom Instructions\n\n"
			   "{content}\n\n<|im_end|>\n",
	 .user = "<|im_start|>user\n{content}<|im_end|>\n",
	 .assistant = "<|im_start|>assistant\n{content}<|im_end|>\n",
	 .prompt = "<|im_start|>assistant\n",
	 .ends = {"<|im_end|>"},
	 .no_think = "<think>\n\n</think>\n",
	 .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
	 .default_reasoning =
		 "You are a helpful AI assistant named SmolLM, trained by Hugging Face. Your role as an "
		 "assistant involves thoroughly exploring questions through a systematic thinking process "
		 "before providing the final precise and accurate solutions. This requires engaging in a "
		 "comprehensive cycle of analysis, summarizing, exploration, reassessment, reflection, "
		 "backtracking, and iteration to develop well-considered thinking process. Please "
		 "structure your response into two main sections: Thought and Solution using the specified "
		 "format: <think> Thought section </think> Solution section. In the Thought section, "
		 "detail your reasoning process in steps. Each step should include detailed considerations "
		 "such as analysing questions, summarizing relevant findings, brainstorming new ideas, "
		 "verifying the accuracy of the current steps, refining any errors, and revisiting "
		 "previous steps. In the Solution section, based on various attempts, explorations, and "
		 "reflections from the Thought section, systematically present the final solution that you "
		 "deem correct. The Solution section should be logical, accurate, and concise and detail "
		 "necessary steps needed to reach the conclusion.",
	 .date = "%d %B %Y",
	 .rules = GPT_CHAT_THINK_NEVER},
	{.name = "llama2",
	 .fold = "<<SYS>>\n{system}\n<</SYS>>\n\n{content}",
	 .user = "{bos}[INST] {content} [/INST]",
	 .assistant = " {content} {eos}",
	 .prompt = "",
	 .rules = GPT_CHAT_TRIM | GPT_CHAT_ALTERNATE},
	{.name = "llama3",
	 LLAMA3,
	 .system = "<|start_header_id|>system<|end_header_id|>\n\n{content}<|eot_id|>"},
	{.name = "llama3.1", LLAMA3_DATED, .date = "26 Jul 2024"},
	{.name = "llama3.2", LLAMA3_DATED, .date = "%d %b %Y"},
	{.name = "mistral",
	 .begin = "{bos}",
	 .fold = "{system}\n\n{content}",
	 .user = "[INST] {content} [/INST]",
	 .assistant = "{content}{eos}",
	 .prompt = "",
	 .rules = GPT_CHAT_ALTERNATE},
	{.name = "mistral-v1",
	 .begin = "{bos}",
	 .fold = "{system}\n\n{content}",
	 .user = " [INST] {content} [/INST]",
	 .assistant = " {content}{eos}",
	 .prompt = "",
	 .rules = GPT_CHAT_ALTERNATE},
	{.name = "mistral-v3",
	 .begin = "{bos}",
	 .fold = "{system}\n\n{content}",
	 .user = "[INST] {content}[/INST]",
	 .assistant = " {content}{eos}",
	 .prompt = "",
	 .rules = GPT_CHAT_ALTERNATE | GPT_CHAT_FOLD_LAST | GPT_CHAT_TRIM_ANSWERS},
	{.name = "mistral-v3-tekken",
	 .begin = "{bos}",
	 .fold = "{system}\n\n{content}",
	 .user = "[INST]{content}[/INST]",
	 .assistant = "{content}{eos}",
	 .prompt = "",
	 .rules = GPT_CHAT_ALTERNATE | GPT_CHAT_FOLD_LAST},
	{.name = "mistral-v7",
	 .begin = "{bos}",
	 .system = "[SYSTEM_PROMPT] {content}[/SYSTEM_PROMPT]",
	 .user = "[INST] {content}[/INST]",
	 .assistant = " {content}{eos}",
	 .prompt = ""},
	{.name = "mistral-v7-tekken",
	 .begin = "{bos}",
	 .system = "[SYSTEM_PROMPT]{content}[/SYSTEM_PROMPT]",
	 .user = "[INST]{content}[/INST]",
	 .assistant = "{content}{eos}",
	 .prompt = ""},
	{.name = "gemma",
	 .begin = "{bos}",
	 .fold = "{system}\n\n{content}",
	 .user = "<start_of_turn>user\n{content}<end_of_turn>\n",
	 .assistant = "<start_of_turn>model\n{content}<end_of_turn>\n",
	 .prompt = "<start_of_turn>model\n",
	 .ends = {"<end_of_turn>"},
	 .rules = GPT_CHAT_TRIM | GPT_CHAT_ALTERNATE},
	{.name = "zephyr",
	 .system = "<|system|>\n{content}{eos}\n",
	 .user = "<|user|>\n{content}{eos}\n",
	 .assistant = "<|assistant|>\n{content}{eos}\n",
	 .prompt = "<|assistant|>\n"},
	{.name = "phi3",
	 .system = "<|system|>\n{content}<|end|>\n",
	 .user = "<|user|>\n{content}<|end|>\n",
	 .assistant = "<|assistant|>\n{content}<|end|>\n",
	 .prompt = "<|assistant|>\n",
	 .ends = {"<|end|>"}},
	{.name = "phi4-mini",
	 .system = "<|system|>{content}<|end|>",
	 .user = "<|user|>{content}<|end|>",
	 .assistant = "<|assistant|>{content}<|end|>",
	 .prompt = "<|assistant|>",
	 .ends = {"<|end|>"}},
	{.name = "phi4",
	 .system = "<|im_start|>system<|im_sep|>{content}<|im_end|>",
	 .user = "<|im_start|>user<|im_sep|>{content}<|im_end|>",
	 .assistant = "<|im_start|>assistant<|im_sep|>{content}<|im_end|>",
	 .prompt = "<|im_start|>assistant<|im_sep|>",
	 .ends = {"<|im_end|>"}},
	{.name = "deepseek",
	 .begin = "{bos}",
	 .system = "{content}\n\n",
	 .user = "User: {content}\n\n",
	 .assistant = "Assistant: {content}{eos}",
	 .prompt = "Assistant:"},
	{.name = "deepseek-coder",
	 .begin = "{bos}",
	 .system = "{content}",
	 .user = "### Instruction:\n{content}\n",
	 .assistant = "### Response:\n{content}\n<|EOT|>\n",
	 .prompt = "### Response:\n",
	 .ends = {"<|EOT|>"},
	 .default_system =
		 "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by "
		 "Deepseek Company, and you only answer questions related to computer science. For "
		 "politically sensitive questions, security and privacy issues, and other non-computer "
		 "science questions, you will refuse to answer\n"},
	{.name = "deepseek3", DEEPSEEK3, .prompt = "<｜Assistant｜>"},
	{.name = "deepseek-r1",
	 DEEPSEEK3,
	 .prompt = "<｜Assistant｜><think>\n",
	 .rules = GPT_CHAT_FORGET},
};

const GptChatTemplate *
gpt_chat_known(int number)
{
	return number >= 0 && number < lengthof(known) ? &known[number] : NULL;
}
